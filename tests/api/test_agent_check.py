# SPDX-License-Identifier: MIT
"""HAProxy's agent-check: one line with the free capacity, whatever the models do."""
import signal
import socket
import subprocess

from crowd import Client, count_on, held, load, wait_counts
from served import PROGRAM, clean_env, free_port


def read_agent(port):
    with socket.create_connection(("127.0.0.1", port), timeout=300) as s:
        data = b""
        while chunk := s.recv(100):
            data += chunk
    return data.decode()


def test_the_line_says_how_many_slots_are_free(start, smollm_models):
    port = free_port()
    server = start(smollm_models, OLLAMA_NUM_PARALLEL="4", DROVER_DRAIN_TIMEOUT="1h", DROVER_AGENT_PORT=str(port))
    assert read_agent(port) == "up ready 100%\n"  # nothing is loaded: a model would have all its slots
    load(server)
    clients = []
    with held(server):
        for expected in ("75%", "50%", "25%", "1%", "1%"):
            clients.append(Client(server, "/api/generate", count_on(20)))
            wait_counts(server, min(len(clients), 4), max(len(clients) - 4, 0))
            assert read_agent(port) == "up ready %s\n" % expected
        server.process.send_signal(signal.SIGTERM)
        while read_agent(port) != "drain 0%\n":
            pass
    for client in clients:
        client.finish()
    assert server.process.wait(300) == 0


def test_a_taken_port_is_a_clear_error(tmp_path, smollm_models):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        env = clean_env(tmp_path, OLLAMA_MODELS=str(smollm_models), OLLAMA_HOST="127.0.0.1:%d" % free_port(), DROVER_AGENT_PORT=str(port))
        done = subprocess.run([PROGRAM, "serve"], env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1 and "agent_port %d" % port in done.stderr
