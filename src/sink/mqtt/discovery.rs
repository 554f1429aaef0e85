//! Home Assistant's discovery: retained messages from which it makes a device with its sensors.

use serde::Serialize;

use super::super::OutputSchema;
use super::topics::{Topics, json};

/// Makes the messages.
#[derive(Debug)]
pub(super) struct Discovery {
    prefix: String,
    /// The device, in topics and identifiers.
    node: String,
}

#[derive(Serialize)]
struct Sensor<'a> {
    name: String,
    unique_id: String,
    state_topic: &'a str,
    availability_topic: &'a str,
    state_class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_of_measurement: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_template: Option<&'static str>,
    device: Device<'a>,
}

#[derive(Serialize)]
struct Device<'a> {
    identifiers: [&'a str; 1],
    name: &'a str,
    model: &'a str,
    manufacturer: &'static str,
    sw_version: &'static str,
}

impl Discovery {
    /// Messages under `prefix` about what is the `client` of the broker.
    pub fn new(prefix: &str, client: &str) -> Self {
        let allowed = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
        let node = client.chars().map(|character| if allowed(character) { character } else { '_' }).collect();
        Self { prefix: prefix.to_owned(), node }
    }

    /// Topic and payload of the number of poses that a camera sees.
    pub fn camera(&self, camera: usize, schema: &OutputSchema, topics: &mut Topics) -> (String, Vec<u8>) {
        let (what, icon) = if schema.templates { ("objects", "mdi:shape") } else { ("people", "mdi:account-group") };
        let count = topics.camera(camera).count.clone();
        let id = format!("camera_{camera}");
        let sensor = self.sensor(&id, format!("Camera {camera} {what}"), &count, topics, schema);
        self.message(&id, &Sensor { icon: Some(icon), ..sensor })
    }

    /// Topic and payload of the temperature in the stats.
    pub fn temperature(&self, schema: &OutputSchema, topics: &Topics) -> (String, Vec<u8>) {
        let id = "temperature";
        self.message(
            id,
            &Sensor {
                device_class: Some("temperature"),
                unit_of_measurement: Some("°C"),
                value_template: Some("{{ value_json.temperature }}"),
                ..self.sensor(id, "Temperature".to_owned(), &topics.stats, topics, schema)
            },
        )
    }

    fn sensor<'a>(
        &'a self,
        id: &str,
        name: String,
        state_topic: &'a str,
        topics: &'a Topics,
        schema: &'a OutputSchema,
    ) -> Sensor<'a> {
        let device = Device {
            identifiers: [&self.node],
            name: schema.host.as_deref().unwrap_or(&topics.prefix),
            model: &schema.bundle,
            manufacturer: "Sinew",
            sw_version: env!("CARGO_PKG_VERSION"),
        };
        Sensor {
            name,
            unique_id: format!("{}_{id}", self.node),
            state_topic,
            availability_topic: &topics.available,
            state_class: "measurement",
            icon: None,
            device_class: None,
            unit_of_measurement: None,
            value_template: None,
            device,
        }
    }

    fn message(&self, id: &str, sensor: &Sensor<'_>) -> (String, Vec<u8>) {
        (format!("{}/sensor/{}/{id}/config", self.prefix, self.node), json(sensor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_documents_are_those_of_home_assistant() {
        let discovery = Discovery::new("homeassistant", "gate#1");
        let schema = OutputSchema { bundle: "tiny".into(), host: Some("board".into()), ..OutputSchema::default() };
        let mut topics = Topics::new("sinew/gate");
        let (topic, payload) = discovery.camera(1, &schema, &mut topics);
        assert_eq!(topic, "homeassistant/sensor/gate_1/camera_1/config");
        let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(value["state_topic"], "sinew/gate/1/count");
        assert_eq!(value["availability_topic"], "sinew/gate/available");
        assert_eq!((&value["unique_id"], &value["name"]), (&"gate_1_camera_1".into(), &"Camera 1 people".into()));
        assert_eq!(value["device"]["identifiers"][0], "gate_1");
        let (topic, payload) = discovery.temperature(&schema, &topics);
        assert_eq!(topic, "homeassistant/sensor/gate_1/temperature/config");
        let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(
            (&value["state_topic"], &value["device_class"]),
            (&"sinew/gate/stats".into(), &"temperature".into())
        );
    }
}
