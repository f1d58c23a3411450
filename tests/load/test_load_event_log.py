# SPDX-License-Identifier: MIT
"""What a server's scheduler saw and did is written down, and replays in `drover simulate` to the same actions."""
import csv
import io
import subprocess

from crowd import Client, count_on, kill_runner, until
from served import PROGRAM


def simulate(log):
    done = subprocess.run([PROGRAM, "simulate", "--csv", str(log)], capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return {row["model"]: row for row in csv.DictReader(io.StringIO(done.stdout.decode()))}


def test_recorded_event_log_of_the_server_replays(serve, tmp_path):
    log = tmp_path / "events"
    server = serve(DROVER_EVENT_LOG=str(log), OLLAMA_NUM_PARALLEL="2")
    clients = [Client(server, "/api/generate", count_on(30)) for _ in range(5)]
    gone = Client(server, "/api/generate", count_on())
    clients[0].read_pieces(2)
    kill_runner(server)  # a crash is in it, too
    for c in clients:
        c.finish()
    gone.leave()
    until(lambda: " cancel r=" in log.read_text() or log.read_text().count(" finished r=") == 6, "the last request has ended")
    assert server.stop() == 0
    text = log.read_text()
    assert text.splitlines()[0].split()[1] == "options" and " name m=0 smollm2" in text
    rows = simulate(log)
    assert int(rows["total"]["requests"]) == 6
    assert int(rows["total"]["finished"]) + int(rows["total"]["left"]) == 6
    assert int(rows["total"]["loads"]) == 2
    assert [name for name in rows if name.startswith("smollm2")]
