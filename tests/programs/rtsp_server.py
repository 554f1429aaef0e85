"""An RTSP camera on this machine: GStreamer's RTSP server with a moving test image.

It prints a line once it listens.

    rtsp_server.py PORT [WIDTHxHEIGHT] [FRAMES_A_SECOND] [USER PASSWORD]

Needs Debian's gir1.2-gst-rtsp-server-1.0, python3-gi, gstreamer1.0-plugins-base, -good and -ugly.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402  (the versions come first)

PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width={},height={},framerate={}/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={}"
    " ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


def main(port: str, size: str = "320x240", rate: str = "30", user: str = "", password: str = "") -> None:
    """Serves until it is killed."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE.format(*size.split("x"), rate, rate))
    factory.set_shared(True)
    if user:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("user", "media.factory.access", True)
        permissions.add_permission_for_role("user", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/camera", factory)
    if not server.attach(None):
        sys.exit(f"port {port} cannot be listened on")
    print("listening", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
