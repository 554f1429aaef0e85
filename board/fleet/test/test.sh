#!/usr/bin/env bash
# The fleet's files with the programs of Debian that read them, and with three running programs: `test.sh SINEW`.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. board/emulated/install.sh
install_if_missing prometheus prometheus
install_if_missing mosquitto mosquitto
install_if_missing mosquitto_sub mosquitto-clients
install_if_missing openssl openssl
install_if_missing ffmpeg ffmpeg
install_if_missing gst-launch-1.0 gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
promtool check config board/fleet/prometheus/prometheus.yml
promtool test rules board/fleet/prometheus/sinew.rules.test.yml
if command -v npm >/dev/null; then
    board/fleet/test/dashboard-types.sh
else
    echo "skipped: the types of the dashboard, as npm is missing"
fi
python3 board/fleet/test/fleet_test.py "$1" models/bundles
