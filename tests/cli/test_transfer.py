# SPDX-License-Identifier: MIT
"""pull, push, create, cp, rm: what they send to a server and what they print; export, import and prune on a store of the test's own."""
import gzip
import hashlib
import io
import json
import pathlib
import subprocess
import tarfile

import pytest

from standin import PROGRAM, ROOT

TINY = gzip.decompress((ROOT / "tests" / "data" / "tiny" / "llama.gguf.gz").read_bytes())


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def lines(*objects):
    return lambda body: (200, list(objects))


# ---- pull and push ----

PULLED = [{"status": "pulling manifest"}, {"status": "pulling 0123456789ab", "digest": "sha256:01", "total": 2000000, "completed": 500000},
          {"status": "pulling 0123456789ab", "digest": "sha256:01", "total": 2000000, "completed": 2000000}, {"status": "writing manifest"}, {"status": "success"}]


def test_pull_prints_each_step_once(run, server):
    server.routes["/api/pull"] = lines(*PULLED)
    p = run("pull", "m", "--insecure")
    assert p.returncode == 0 and p.stdout == b""
    assert p.stderr.decode().splitlines() == ["pulling manifest", "pulling 0123456789ab: 100% 2 MB", "writing manifest", "success"]
    assert server.requests[-1] == ("POST", "/api/pull", {"model": "m", "insecure": True})


def test_an_error_amid_a_pull(run, server):
    server.routes["/api/pull"] = lines(PULLED[0], {"error": "pull model manifest: file does not exist"})
    p = run("pull", "m")
    assert p.returncode == 1
    assert p.stderr.decode().splitlines() == ["pulling manifest", "Error: pull model manifest: file does not exist"]


def test_push_says_where_the_model_is(run, server):
    server.routes["/api/push"] = lines({"status": "retrieving manifest"}, {"status": "success"})
    assert run("push", "me/m").stdout == b"\nYou can find your model at:\n\n\thttps://ollama.com/me/m\n"
    assert run("push", "localhost:5000/me/m").stdout == b""


def test_run_pulls_a_missing_model(run, server):
    there = []

    def generate(body):
        if not there:
            return 404, {"error": "model 'm' not found"}
        return 200, [{"model": "m", "response": "Hi", "done": True, "done_reason": "stop"}]

    def pull(body):
        there.append(body)
        return 200, PULLED

    server.routes["/api/generate"] = generate
    server.routes["/api/pull"] = pull
    p = run("run", "m", "Hello")
    assert p.returncode == 0, p.stderr
    assert b"Hi" in p.stdout and there == [{"model": "m"}]


# ---- cp and rm ----


def test_cp(run, server):
    server.routes["/api/copy"] = (200, b"")
    p = run("cp", "a", "b")
    assert (p.returncode, p.stdout) == (0, b"copied 'a' to 'b'\n")
    assert server.requests[-1] == ("POST", "/api/copy", {"source": "a", "destination": "b"})
    server.routes["/api/copy"] = (404, {"error": 'model "a" not found'})
    p = run("cp", "a", "b")
    assert (p.returncode, p.stderr) == (1, b'Error: model "a" not found\n')


def test_rm_unloads_then_deletes(run, server):
    server.routes["/api/delete"] = (200, b"")
    p = run("rm", "a", "b")
    assert (p.returncode, p.stdout) == (0, b"deleted 'a'\ndeleted 'b'\n")
    assert [r for r in server.requests if r[2]] == [(m, path, body) for name in "ab" for m, path, body in (
        ("POST", "/api/generate", {"model": name, "keep_alive": 0, "stream": False}), ("DELETE", "/api/delete", {"model": name}))]
    server.routes["/api/delete"] = (404, {"error": "model 'c' not found"})
    assert run("rm", "c").stderr == b"Error: model 'c' not found\n"


# ---- create ----


@pytest.fixture
def create(run, server, tmp_path):
    server.routes["/api/create"] = lines({"status": "writing manifest"}, {"status": "success"})

    def call(text, *args, **more):
        (tmp_path / "Modelfile").write_bytes(text if isinstance(text, bytes) else text.encode())
        p = run("create", "new", "-f", str(tmp_path / "Modelfile"), *args, **more)
        return p, server.requests[-1][2] if server.requests else None

    return call


def test_create_from_a_model(create):
    p, body = create('# comment\nFROM base:7b\nparameter stop "<a b>"\nPARAMETER stop </s>\nPARAMETER temperature 0.5\nPARAMETER num_ctx 10\nPARAMETER num_ctx 4096\n'
                     'PARAMETER mirostat 1\nSYSTEM """\nYou are\n"brief".\n"""\nTEMPLATE "{{ .Prompt }}\n"\nLICENSE one\nLICENSE two\nMESSAGE user Hi there\nMESSAGE assistant "Yes\n"\n'
                     'REQUIRES 0.14.0\n')
    assert p.returncode == 0, p.stderr
    assert body == {"model": "new", "from": "base:7b", "parameters": {"stop": ["<a b>", "</s>"], "temperature": 0.5, "num_ctx": 4096},
                    "system": '\nYou are\n"brief".\n', "template": "{{ .Prompt }}\n", "license": ["one", "two"],
                    "messages": [{"role": "user", "content": "Hi there"}, {"role": "assistant", "content": "Yes\n"}], "requires": "0.14.0"}
    assert b"mirostat does nothing any more" in p.stderr
    assert p.stderr.decode().splitlines()[-3:] == ["gathering model components", "writing manifest", "success"]


def test_create_sends_the_file(create, server, tmp_path):
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "tiny.gguf").write_bytes(TINY)
    server.routes["/api/blobs/" + digest(TINY)] = (200, b"")  # it is there already
    for name in ("dir/tiny.gguf", "./dir", "~/dir/tiny.gguf", str(tmp_path / "dir" / "tiny.gguf")):
        p, body = create("FROM %s\n" % name)
        assert p.returncode == 0, p.stderr
        assert body == {"model": "new", "files": {"tiny.gguf": digest(TINY)}}


@pytest.mark.parametrize("text,message", [
    ("", "no FROM line"), ("SYSTEM x\n", "no FROM line"), ("FROM a\nFOO b\n", '(line 2): command must be one of "from", "license"'),
    ("FROM a\nMESSAGE bot hi\n", '(line 2): message role must be one of "system", "user", or "assistant"'), ('FROM a\nSYSTEM """x\n', "unexpected EOF"),
    ('FROM a\nSYSTEM "x\n', "unexpected EOF"), ("FROM a\nPARAMETER foo 1\n", "unknown parameter 'foo'"), ("FROM a\nPARAMETER seed x\n", "invalid int value [x]"),
    ("FROM a\nPARAMETER top_p x\n", "invalid float value [x]"), ("FROM a\nPARAMETER use_mmap x\n", "invalid bool value [x]"),
    ("FROM a\nADAPTER x\n", "ADAPTER is not supported"), ("FROM a\nDRAFT x\n", "DRAFT is not supported"), ("FROM a\nPARAMETER seed\n", "unexpected EOF"),
])
def test_a_bad_modelfile_is_told(create, text, message):
    p, _ = create(text)
    assert p.returncode == 1 and p.stderr.decode().splitlines()[-1].startswith("Error: " ) and message in p.stderr.decode()


def test_a_missing_modelfile(run):
    p = run("create", "new", "-f", "/nowhere/Modelfile")
    assert (p.returncode, p.stderr) == (1, b"Error: specified Modelfile wasn't found\n")


def test_a_modelfile_in_other_encodings(create):
    text = "FROM a\r\nSYSTEM \u201cgr\u00fc\u00df dich\u201d \U0001f600\r\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"):
        mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
        p, body = create(mark + text.encode(encoding))
        assert p.returncode == 0, (encoding, p.stderr)
        assert body == {"model": "new", "from": "a", "system": "\u201cgr\u00fc\u00df dich\u201d \U0001f600"}


# ---- export, import, prune ----


@pytest.fixture
def drover(env, tmp_path):
    def call(store, *args, stdin=b""):
        return subprocess.run([PROGRAM, *map(str, args)], input=stdin, env={**env, "OLLAMA_MODELS": str(tmp_path / store)}, cwd=tmp_path, capture_output=True, timeout=300,
                              check=False)

    return call


def tree(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(pathlib.Path(path).rglob("*")) if p.is_file() and p.name != ".drover.lock"}


@pytest.fixture
def stored(drover, tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(TINY)
    assert drover("a", "import", "tiny.gguf", "tiny").returncode == 0
    long = "h" * 200 + ".example/" + "n" * 80 + "/" + "m" * 80 + ":" + "t" * 80
    assert drover("a", "import", "tiny.gguf", long).returncode == 0
    return ["tiny", long]


def test_export_then_import_is_the_same_store(drover, tmp_path, stored):
    p = drover("a", "export", *stored, "-o", "x.tar")
    assert (p.returncode, p.stderr) == (0, b"")
    p = drover("b", "import", "x.tar")
    assert p.returncode == 0, p.stderr
    assert p.stdout.decode() == "imported 'tiny:latest'\nimported '%s'\n" % stored[1]
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    # by a pipe
    p = drover("a", "export", "tiny", "-o", "-")
    assert drover("c", "import", "-", stdin=p.stdout).stdout == b"imported 'tiny:latest'\n"
    # any tar, and any checker of sums, can read it
    with tarfile.open(tmp_path / "x.tar") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}
    sums = dict(reversed(line.split("  ")) for line in files.pop("SHA256SUMS").decode().splitlines())
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} and files == tree(tmp_path / "a")
    assert drover("a", "export", "none", "-o", "y.tar").stderr == b"Error: model 'none' not found\n"
    assert not list(tmp_path.glob("y.tar*"))
    assert drover("a", "export", "tiny").returncode == 2


def retar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_a_damaged_archive_leaves_no_model(drover, tmp_path, stored):
    whole = drover("a", "export", "tiny", "-o", "-").stdout
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        files = [(m.name, tar.extractfile(m).read()) for m in tar.getmembers()]
    flipped = bytearray(whole)
    flipped[5000] ^= 1
    manifest = next(i for i, f in enumerate(files) if f[0].startswith("manifests/"))
    changed = [(n, d + b" " if i == manifest else d) for i, (n, d) in enumerate(files)]
    cases = [(bytes(flipped), "the archive is damaged: blobs/"), (whole[:100000], "the archive ends too early"), (whole[:-2048], "ends too early"),
             (b"x" * 1024, "not a tar file"), (retar(changed), "is not what SHA256SUMS says"), (retar(files[1:]), "not found"), (retar(files[:-1]), "SHA256SUMS"),
             (retar([("../x", b"1")] + files), "does not belong"), (retar([("manifests/a/../../x", b"1")] + files), "no valid model name"),
             (retar([("blobs/sha256-zz", b"1")] + files), "does not belong")]
    for i, (data, message) in enumerate(cases):
        p = drover("d%d" % i, "import", "-", stdin=data)
        assert p.returncode == 1 and message in p.stderr.decode(), (i, p.stderr)
        assert not (tmp_path / ("d%d" % i) / "manifests").exists(), i
        assert not (tmp_path / "x").exists()


def test_prune_removes_what_no_model_uses(drover, tmp_path, stored):
    blobs = tmp_path / "a" / "blobs"
    before = tree(tmp_path / "a")
    extra = [blobs / ("sha256-" + "0" * 64), blobs / ("sha256-" + "1" * 64 + "-partial"), blobs / ("sha256-" + "1" * 64 + "-partial-0"), blobs / "sha256-12345"]
    for path in extra:
        path.write_bytes(b"12345")
    assert drover("a", "prune").stdout == b"removed 0 files, 0.0 MB\n", "what is young may be on its way"
    assert drover("a", "prune", "--all").stdout == b"removed 4 files, 0.0 MB\n"
    assert tree(tmp_path / "a") == before
    # a manifest that cannot be read may name anything
    extra[0].write_bytes(b"12345")
    broken = tmp_path / "a" / "manifests" / "h" / "n" / "m" / "t"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"{")
    p = drover("a", "prune", "--all")
    assert p.returncode == 1 and b"manifests/h/n/m/t" in p.stderr and extra[0].exists()
