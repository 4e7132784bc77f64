"""A certificate file that cannot work stops the start; with the others openssl itself made."""

import subprocess

import pytest

from receiver.config import Tls
from receiver.export.tls import check_files


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    for name in ("one", "two"):
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=x", "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.pem",
        )
    locked = directory / "locked.key"
    openssl("ec", "-in", directory / "one.key", "-aes256", "-passout", "pass:secret", "-out", locked)
    (directory / "text").write_text("not a certificate")
    return directory


def test_good_files_and_none(files):
    pair = {"cert_file": str(files / "one.pem"), "key_file": str(files / "one.key")}
    for tls in (Tls(), Tls(ca_file=str(files / "one.pem")), Tls(**pair)):
        assert list(check_files("tls", tls)) == []


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"ca_file": "text"}, "tls.ca_file"),
        ({"ca_file": "one.key"}, "tls.ca_file"),
        ({"ca_file": "absent"}, "tls.ca_file"),
        ({"cert_file": "one.pem", "key_file": "two.key"}, "tls.cert_file"),
        ({"cert_file": "one.pem", "key_file": "locked.key"}, "tls.cert_file"),
        ({"cert_file": "text", "key_file": "one.key"}, "tls.cert_file"),
        ({"cert_file": "one.pem", "key_file": "absent"}, "tls.key_file"),
    ],
)
def test_bad_file_names_its_key(files, settings, key):
    tls = Tls(**{name: str(files / path) for name, path in settings.items()})
    assert [fault.path for fault in check_files("tls", tls)] == [key]
