"""Packages in place of repositories: real clients, real archives, and registries on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mosearch.errors import UsageError
from mosearch.evaluation.packages import Package, download, laid_out, named
from mosearch.registries import members

FILES = {"lib/tool.js": b"exports.run = () => 1\n", "README.md": b"A tool.\n"}


@pytest.mark.parametrize(
    ("words", "package", "shown"),
    [
        ("PyPI sdist", Package("pip", "tool"), "PyPI package tool"),
        ("npm", Package("npm", "tool"), "npm package tool"),
        ("npm @owner/tool", Package("npm", "@owner/tool"), "npm package @owner/tool"),
        ("Debian libtool-dev", Package("deb", "libtool-dev"), "Debian package libtool-dev"),
        ("Debian source tool", Package("deb-source", "tool"), "Debian source package tool"),
    ],
)
def test_packages_are_named_in_the_words_of_the_development_set(
    words: str, package: Package, shown: str
) -> None:
    assert named(words, "tool") == package
    assert str(package) == shown


def test_a_package_is_never_taken_for_an_option() -> None:
    with pytest.raises(UsageError, match="its package is said to be 'npm --global'"):
        named("npm --global", "tool")


@pytest.mark.parametrize(
    ("held", "answers", "expected"),
    [
        pytest.param(
            ["tool-1.5/src/tool/app.py", "tool-1.5/tests/app.py"],
            ["src/tool/app.py"],
            {"src/tool/app.py", "tests/app.py"},
            id="a source archive",
        ),
        pytest.param(
            ["tool/app.py", "tool-1.5.dist-info/METADATA"],
            ["src/tool/app.py"],
            {"src/tool/app.py", "src/tool-1.5.dist-info/METADATA"},
            id="a wheel",
        ),
        pytest.param(
            [
                "usr/share/php/Tool/Client.php",
                "usr/share/php/Tool/Pool/Free.php",
                "usr/share/doc/tool/copyright",
            ],
            ["src/Client.php", "src/Pool/Free.php"],
            {"src/Client.php", "src/Pool/Free.php"},
            id="a folder that has another name",
        ),
        pytest.param(
            [
                "usr/share/cargo/registry/tool-1.5/src/lib.rs",
                "usr/share/cargo/registry/tool-1.5/src/io/mod.rs",
            ],
            ["tool/src/lib.rs", "tool/src/io/mod.rs", "tool/src/gone.rs"],
            {"tool/src/lib.rs", "tool/src/io/mod.rs"},
            id="one crate of several",
        ),
        pytest.param(
            ["a/mod.rs", "x/b/mod.rs", "x/c/mod.rs"],
            ["b/mod.rs", "c/mod.rs"],
            {"b/mod.rs", "c/mod.rs"},
            id="most answers decide",
        ),
        pytest.param(["tool.go", "pool.go"], ["tool.go"], {"tool.go", "pool.go"}, id="no folder at all"),
        pytest.param(["tool.go"], ["pool.go"], set(), id="nothing that answers name"),
        pytest.param([], ["pool.go"], set(), id="nothing"),
    ],
)
def test_files_lie_where_the_repository_has_them(
    held: list[str], answers: list[str], expected: set[str]
) -> None:
    files = {path: path.encode() for path in held}
    laid = laid_out(files, answers)
    assert set(laid) == expected
    assert set(laid.values()) <= set(files.values())


def _tar(files: Mapping[str, bytes], path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def _wheel(files: Mapping[str, bytes], path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return path


def test_only_what_lies_inside_is_read(tmp_path: Path) -> None:
    outside = {"../tool.js": b"x", "/etc/tool.js": b"x", "a/../../b.js": b"x"}
    assert dict(members(_wheel(FILES | outside, tmp_path / "tool-1.5-py3-none-any.whl"))) == FILES
    dotted = {f"./{name}": content for name, content in FILES.items()}
    archive = _tar(dotted | outside, tmp_path / "tool-1.5.tgz")
    with tarfile.open(tmp_path / "linked.tgz", "w:gz") as tar:
        link = tarfile.TarInfo("link.js")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert dict(members(archive)) == FILES
    assert dict(members(tmp_path / "linked.tgz")) == {}


@pytest.mark.parametrize("name", ["tool-1.5-py3-none-any.whl", "tool-1.5.tgz", "tool_1.5.orig.tar.xz"])
def test_a_damaged_archive_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b half of an archive")
    with pytest.raises(UsageError, match=f"{name} cannot be read"):
        dict(members(tmp_path / name))


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="npm package tool needs npm, which is not installed"):
        download(Package("npm", "tool"))


def test_pip_downloads_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = {
        "tool-1.5.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tool\nVersion: 1.5\n",
        "tool-1.5.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tool-1.5.dist-info/RECORD": b"",
    }
    _wheel({"tool/app.py": b"X = 1\n"} | info, tmp_path / "tool-1.5-py3-none-any.whl")
    for name, value in (("NO_INDEX", "1"), ("FIND_LINKS", str(tmp_path)), ("CONFIG_FILE", os.devnull)):
        monkeypatch.setenv(f"PIP_{name}", value)
    version, files = download(Package("pip", "tool"))
    assert version == "1.5"
    assert files["tool/app.py"] == b"X = 1\n"
    with pytest.raises(UsageError, match=r"PyPI package lost cannot be had by pip: ERROR: .* lost"):
        download(Package("pip", "lost"))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def npm_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "registry"
    folder.mkdir()
    _tar(
        {f"package/{name}": content for name, content in FILES.items()}
        | {"package/package.json": json.dumps({"name": "tool", "version": "1.5.0-rc.1"}).encode()},
        folder / "archive.tgz",
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        only = {"name": "tool", "version": "1.5.0-rc.1", "dist": {"tarball": f"{address}/archive.tgz"}}
        listed = {"name": "tool", "dist-tags": {"latest": "1.5.0-rc.1"}, "versions": {"1.5.0-rc.1": only}}
        (folder / "tool").write_text(json.dumps(listed))
        monkeypatch.setenv("npm_config_registry", address)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
        monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
        monkeypatch.setenv("npm_config_fetch_retries", "0")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
def test_npm_packs_a_package(npm_registry: None) -> None:
    version, files = download(Package("npm", "tool"))
    assert version == "1.5.0-rc.1"
    assert laid_out(files, ["lib/tool.js"]).items() >= FILES.items()
    with pytest.raises(UsageError, match=r"npm package lost cannot be had by npm: npm .*404"):
        download(Package("npm", "lost"))


def _sums(path: Path) -> tuple[str, int, str]:
    content = path.read_bytes()
    return hashlib.sha256(content).hexdigest(), len(content), path.name


@pytest.fixture
def debian_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, tree = tmp_path / "archive", tmp_path / "tree"
    folder.mkdir()
    for path, content in {
        "usr/share/php/Tool/Client.php": b"<?php\n",
        "usr/share/doc/tool/copyright": b"",
    }.items():
        (tree / path).parent.mkdir(parents=True)
        (tree / path).write_bytes(content)
    control = "Package: php-tool\nVersion: 1:2.0-1\nArchitecture: all\nMaintainer: A <a@example.org>\n"
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(f"{control}Description: a tool\n")
    built = folder / "php-tool_2.0-1_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(built)], check=True, capture_output=True
    )
    digest, size, name = _sums(built)
    (folder / "Packages").write_text(
        f"{control}Filename: ./{name}\nSize: {size}\nSHA256: {digest}\nDescription: a tool\n"
    )
    (folder / "tool_2.0-1.dsc").write_text("Format: 3.0 (quilt)\nSource: tool\nVersion: 2.0-1\n")
    _tar({"tool-2.0/src/tool.c": b"int x;\n"}, folder / "tool_2.0.orig.tar.gz")
    sums = [_sums(folder / name) for name in ("tool_2.0-1.dsc", "tool_2.0.orig.tar.gz")]
    (folder / "Sources").write_text(
        "Package: tool\nBinary: tool\nVersion: 2.0-1\nArchitecture: any\nFormat: 3.0 (quilt)\nDirectory: .\n"
        "Checksums-Sha256:\n" + "".join(f" {digest} {size} {name}\n" for digest, size, name in sums)
    )
    sources, settings = tmp_path / "sources.list", tmp_path / "apt.conf"
    sources.write_text("".join(f"{kind} [trusted=yes] copy:{folder} ./\n" for kind in ("deb", "deb-src")))
    for name in ("state/lists/partial", "cache/archives/partial"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "status").touch()
    settings.write_text(
        f'Dir::Etc::SourceList "{sources}"; Dir::Etc::SourceParts "/dev/null"; APT::Sandbox::User "";\n'
        f'Dir::State "{tmp_path}/state"; Dir::State::status "{tmp_path}/status";\n'
        f'Dir::Cache "{tmp_path}/cache";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(settings))
    subprocess.run(["apt-get", "update", "--quiet"], check=True, capture_output=True)


@pytest.mark.skipif(
    shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None, reason="needs Debian's tools"
)
def test_apt_downloads_packages_and_sources(debian_archive: None) -> None:
    version, files = download(Package("deb", "php-tool"))
    assert version == "1:2.0-1"
    assert laid_out(files, ["src/Client.php"]) == {"src/Client.php": b"<?php\n"}
    assert download(Package("deb-source", "tool")) == ("2.0", {"tool-2.0/src/tool.c": b"int x;\n"})
    with pytest.raises(UsageError, match=r"Debian package lost cannot be had by apt-get: E: .* lost"):
        download(Package("deb", "lost"))
