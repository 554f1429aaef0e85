//! MQTT 3.1.1 on the wire: the packets of a client that only publishes, and the three that a broker may send to it.
//!
//! The crate `mqtt-protocol-core` has their fields; cutting the broker's bytes into packets is done here, because none of them is
//! longer than two bytes: a program that sends more is not a broker.

use mqtt_protocol_core::mqtt::packet::Qos;
use mqtt_protocol_core::mqtt::packet::v3_1_1::{Connack, Connect, Disconnect, Pingreq, Puback, Publish};
use mqtt_protocol_core::mqtt::result_code::{ConnectReturnCode, MqttError};

use super::options::Credentials;

/// Longest packet of a broker behind its type and length.
const LONGEST: usize = 2;
/// Bytes of such a packet.
const PACKET: usize = 2 + LONGEST;

/// A message of ours.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its payload.
    pub payload: &'a [u8],
    /// Whether the broker retains it for later subscribers.
    pub retain: bool,
    /// With QoS 1 its number, which the acknowledgement names.
    pub id: Option<u16>,
    /// Whether it was sent before.
    pub again: bool,
}

/// Why no packet can be made: a string is too long, or not allowed.
#[derive(Debug, thiserror::Error)]
#[error("no MQTT packet can be made of this ({0:?})")]
pub struct Unfit(MqttError);

/// Appends the packet that begins a connection; the broker publishes `will` if it breaks.
///
/// # Errors
/// If a string is too long.
pub fn connect(
    out: &mut Vec<u8>,
    client: &str,
    keep_alive: u16,
    credentials: Option<&Credentials>,
    will: Message<'_>,
) -> Result<(), Unfit> {
    let qos = if will.id.is_some() { Qos::AtLeastOnce } else { Qos::AtMostOnce };
    let build = || {
        let mut packet = Connect::builder()
            .client_id(client)?
            .clean_session(true)
            .keep_alive(keep_alive)
            .will_message(will.topic, will.payload.to_vec(), qos, will.retain)?;
        if let Some(Credentials { user, password }) = credentials {
            packet = packet.user_name(user.as_str())?;
            if let Some(password) = password {
                packet = packet.password(password.as_str())?;
            }
        }
        packet.build()
    };
    out.extend_from_slice(&build().map_err(Unfit)?.to_continuous_buffer());
    Ok(())
}

/// Appends a message.
///
/// # Errors
/// If the topic is not allowed, or the message too long for the protocol.
pub fn publish(out: &mut Vec<u8>, message: Message<'_>) -> Result<(), Unfit> {
    let build = || {
        let packet = Publish::builder().topic_name(message.topic)?.retain(message.retain).payload(message.payload);
        match message.id {
            Some(id) => packet.qos(Qos::AtLeastOnce).packet_id(id).dup(message.again).build(),
            None => packet.qos(Qos::AtMostOnce).build(),
        }
    };
    out.extend_from_slice(&build().map_err(Unfit)?.to_continuous_buffer());
    Ok(())
}

/// Appends a ping, which every broker answers at once.
pub fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(&Pingreq::new().to_continuous_buffer());
}

/// Appends the end of a connection, after which the broker forgets the last will.
pub fn disconnect(out: &mut Vec<u8>) {
    out.extend_from_slice(&Disconnect::new().to_continuous_buffer());
}

/// A packet of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The connection is accepted, or refused with this reason.
    Connection(Result<(), &'static str>),
    /// It has the message with this number.
    Acknowledged(u16),
    /// It answers a [`ping`].
    Alive,
}

/// Cuts what a broker sends into packets.
#[derive(Debug, Default)]
pub struct Answers {
    /// The beginning of a packet.
    begun: [u8; PACKET],
    length: usize,
}

impl Answers {
    /// Takes some of a broker's bytes, and passes on the packets that they complete.
    ///
    /// # Errors
    /// If they are not what a broker may send to this client.
    pub fn read(&mut self, bytes: &[u8], mut answer: impl FnMut(Answer)) -> Result<(), String> {
        for &byte in bytes {
            self.begun[self.length] = byte;
            self.length += 1;
            if self.length < 2 {
                continue;
            }
            let behind = usize::from(self.begun[1]);
            if behind > LONGEST {
                return Err(format!("it sent a packet of type {} that a broker may not send here", self.begun[0] >> 4));
            }
            if self.length == 2 + behind {
                answer(parse(self.begun[0], &self.begun[2..self.length])?);
                self.length = 0;
            }
        }
        Ok(())
    }
}

fn parse(kind: u8, body: &[u8]) -> Result<Answer, String> {
    let damaged = |error: MqttError| format!("it sent a packet of type {} that is damaged ({error:?})", kind >> 4);
    match kind {
        0x20 => {
            let code = Connack::parse(body).map_err(damaged)?.0.return_code();
            Ok(Answer::Connection(match code {
                ConnectReturnCode::Accepted => Ok(()),
                ConnectReturnCode::UnacceptableProtocolVersion => Err("it does not speak MQTT 3.1.1"),
                ConnectReturnCode::IdentifierRejected => Err("it refuses the client's name; give another with client="),
                ConnectReturnCode::ServerUnavailable => Err("it is not available"),
                ConnectReturnCode::BadUserNameOrPassword => Err("user or password are wrong"),
                ConnectReturnCode::NotAuthorized => {
                    Err("it does not let this client in; check user and password (docs/outputs.md)")
                }
            }))
        }
        0x40 => Ok(Answer::Acknowledged(Puback::parse(body).map_err(damaged)?.0.packet_id())),
        0xd0 if body.is_empty() => Ok(Answer::Alive),
        _ => Err(format!("it sent a packet of type {} that a broker may not send here", kind >> 4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: Message<'_> = Message { topic: "a/b", payload: b"{}", retain: false, id: None, again: false };

    #[test]
    fn packets_have_the_bytes_of_the_standard() {
        let mut out = Vec::new();
        publish(&mut out, MESSAGE).unwrap();
        assert_eq!(out, b"\x30\x07\x00\x03a/b{}");
        out.clear();
        publish(&mut out, Message { retain: true, id: Some(0x102), again: true, ..MESSAGE }).unwrap();
        assert_eq!(out, b"\x3b\x09\x00\x03a/b\x01\x02{}");
        out.clear();
        ping(&mut out);
        disconnect(&mut out);
        assert_eq!(out, b"\xc0\x00\xe0\x00");
        out.clear();
        let credentials = Credentials { user: "u".into(), password: Some("p".into()) };
        let will = Message { retain: true, id: Some(1), ..MESSAGE };
        connect(&mut out, "c", 10, Some(&credentials), will).unwrap();
        assert_eq!(out, b"\x10\x1c\x00\x04MQTT\x04\xee\x00\x0a\x00\x01c\x00\x03a/b\x00\x02{}\x00\x01u\x00\x01p");
    }

    #[test]
    fn answers_come_in_pieces() {
        let bytes = b"\x20\x02\x00\x00\x40\x02\x01\x02\xd0\x00\x20\x02\x00\x05";
        for size in 1..bytes.len() {
            let (mut answers, mut found) = (Answers::default(), Vec::new());
            bytes.chunks(size).for_each(|piece| answers.read(piece, |answer| found.push(answer)).unwrap());
            assert_eq!(found[..3], [Answer::Connection(Ok(())), Answer::Acknowledged(0x102), Answer::Alive]);
            assert!(matches!(found[3..], [Answer::Connection(Err(_))]));
        }
    }

    #[test]
    fn what_no_broker_sends_is_refused() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request"[..],
            b"\x30\xff\xff\xff\x7f",
            b"\x30\x02\x00\x00",
            b"\x20\x00",
            b"\x20\x02\x00\x09",
            b"\x40\x02\x00\x00",
            b"\x40\x01\x00",
            b"\xd0\x01\x00",
            b"\x00\x00",
            b"\xff\xff\xff\xff\xff",
        ] {
            assert!(Answers::default().read(bytes, |_| ()).is_err(), "{bytes:?}");
        }
    }
}
