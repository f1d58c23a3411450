# SPDX-License-Identifier: MIT
"""docs/openapi.yaml is true: it has the routes of the server and no others, and the server answers as it says."""
import json
import re

import pytest

from served import ROOT, Server, tiny_store

yaml = pytest.importorskip("yaml")
schemathesis = pytest.importorskip("schemathesis")
hypothesis = pytest.importorskip("hypothesis")

FILE = ROOT / "docs" / "openapi.yaml"
METHODS = ("get", "head", "post", "put", "delete")
# What a registry or a file outside of this server says is passed on as a 500, and so is, as in Ollama, an option of a wrong type.
PASSED_ON = ("/api/pull", "/api/push", "/api/create")
WRONG_OPTION = re.compile(r'option "\w+" must be of|^invalid format: ')
NOWHERE = "127.0.0.1:1/library/nothing"


def documented():
    paths = yaml.safe_load(FILE.read_text())["paths"]
    return {(method.upper(), re.sub(r"\{\w+\}$", "", path)) for path, item in paths.items() for method in item if method in METHODS}


def test_the_file_has_the_routes_of_the_server_and_no_others():
    table = (ROOT / "src" / "server" / "routes.c").read_text().split("routes[] = {", 1)[1].split("\n};", 1)[0]
    rows = re.findall(r'\{"(/[^"]*)",(.*?)\}', table, re.S)
    served = {(method, path) for path, row in rows for method in re.findall(r"METHOD_(\w+)", row)}
    assert len(rows) > 20
    assert documented() == served


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("openapi")
    server = Server(home, tiny_store(home / "store"))
    yield server
    assert server.stop() == 0, server.log.read_text()[-4000:]


def tame(case):
    """Nothing leaves this machine, every second model exists, no answer is long."""
    body = case.body
    if not isinstance(body, dict):
        return
    if case.path in PASSED_ON:
        for name in ("model", "name", "from"):
            if body.get(name):
                body[name] = NOWHERE
        return
    if case.path not in ("/api/delete", "/api/copy") and len(json.dumps(body, default=str)) % 2 == 0:
        body["model"] = "plain"
    if case.path == "/v1/responses":
        body["max_output_tokens"] = 4
    elif case.path.startswith("/v1/messages"):
        body["max_tokens"] = 4
    elif case.path.startswith("/v1/"):
        body["max_tokens"] = body["max_completion_tokens"] = 4
    elif case.path in ("/api/generate", "/api/chat"):
        options = body.setdefault("options", {})
        if isinstance(options, dict):
            options["num_predict"] = 4


def refuses_as_documented(case, reply):
    return case.path in PASSED_ON or WRONG_OPTION.search(reply.json()["error"] if isinstance(reply.json()["error"], str) else reply.json()["error"]["message"])


@pytest.mark.parametrize("method, path", sorted(documented()))
def test_the_server_answers_as_the_file_says(server, method, path):
    schema = schemathesis.openapi.from_path(FILE)
    full = next(p for p in yaml.safe_load(FILE.read_text())["paths"] if re.sub(r"\{\w+\}$", "", p) == path)
    operation = schema[full][method]
    checks = [schemathesis.checks.CHECKS.get_one(name)
              for name in ("status_code_conformance", "content_type_conformance", "response_schema_conformance")]

    @hypothesis.settings(max_examples=12, derandomize=True, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(case=operation.as_strategy())
    def ask(case):
        tame(case)
        reply = case.call(base_url=server.url, timeout=300)
        case.validate_response(reply, checks=checks)
        assert reply.status_code < 500 or reply.status_code in (501, 503) or refuses_as_documented(case, reply), reply.text

    ask()
