# SPDX-License-Identifier: MIT
"""HAProxy's agent-check: one line with the free capacity, whatever the models do."""
import signal
import socket

from crowd import Client, count_on, held, load, wait_counts
from served import free_port


def read_agent(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        data = b""
        while chunk := s.recv(100):
            data += chunk
    return data.decode()


def test_the_line_says_how_many_slots_are_free(start, smollm_models):
    port = free_port()
    server = start(smollm_models, OLLAMA_NUM_PARALLEL="4", DROVER_AGENT_PORT=str(port))
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
    assert server.process.wait(60) == 0


def test_a_taken_port_is_a_clear_error(start, smollm_models):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        try:
            start(smollm_models, DROVER_AGENT_PORT=str(port))
            raise SystemError("it serves")
        except AssertionError as error:
            assert "agent_port %d" % port in str(error)
