"""TLS, SASL and access control lists of a real broker: what is passed through, and what is said when it is wrong."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import trustme
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, ResourcePatternType
from confluent_kafka.admin import ResourceType as Type
from serving.conftest import kafka_broker, start_broker
from serving.driver import by_key, make_topics, newest, read, send, small_instances, write_config
from serving.test_service import consume

SECURE = """
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SECURE://127.0.0.1:{secure},MUTUAL://127.0.0.1:{mutual}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure},MUTUAL://127.0.0.1:{mutual}
controller.quorum.voters=1@127.0.0.1:{controller}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={server}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.mutual.ssl.client.auth=required
listener.name.secure.sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config={login} required user_me="hunter2";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


def java_key(certificate: trustme.LeafCert, password: bytes | None = None) -> bytes:
    """Key and chain in the one form that both Java and OpenSSL read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cryptography.hazmat.primitives import serialization as s
    key = s.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    secret = s.NoEncryption() if password is None else s.BestAvailableEncryption(password)
    text = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, secret)
    return text + b"".join(part.bytes() for part in certificate.cert_chain_pems)


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A broker, and what it takes to be let in."""
    folder: Path = tmp_path_factory.mktemp("secured")
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other-ca.pem")
    (folder / "server.pem").write_bytes(java_key(ca.issue_cert("127.0.0.1")))
    (folder / "client.pem").write_bytes(java_key(ca.issue_cert("client@example.org"), b"open sesame"))
    (folder / "password").write_text("hunter2\n")
    (folder / "key-password").write_text("open sesame\n")
    ports = {name: kafka_broker.free_port() for name in ("port", "controller", "secure", "mutual")}
    more = SECURE.format(**ports, server=folder / "server.pem", ca=folder / "ca.pem", login=LOGIN)
    broker = start_broker(folder / "kafka", port=ports["port"], more=more)
    broker.secure, broker.mutual, broker.files = ports["secure"], ports["mutual"], folder
    yield broker
    broker.stop()


def allow(broker, who: str, topic: str, operation: AclOperation, what: Type = Type.TOPIC) -> None:
    rule = AclBinding(what, topic, ResourcePatternType.LITERAL, who, "*", operation, AclPermissionType.ALLOW)
    admin = AdminClient({"bootstrap.servers": broker.address})
    for future in admin.create_acls([rule]).values():
        future.result()


def allow_all(broker, who: str, topics: dict[str, str]) -> None:
    allow(broker, who, topics["instances"], AclOperation.READ)
    allow(broker, who, topics["predictions"], AclOperation.WRITE)
    allow(broker, who, topics["dead"], AclOperation.WRITE)
    allow(broker, who, f"service-{topics['instances']}", AclOperation.READ, Type.GROUP)


def by_password(broker, client: str, **changes: Any) -> dict[str, Any]:
    security = {
        "protocol": "SASL_SSL",
        "ca_file": str(broker.files / "ca.pem"),
        "mechanism": "PLAIN",
        "username": "me",
        "password": {"file": str(broker.files / "password")},
    }
    return {"servers": [f"127.0.0.1:{broker.secure}"], "client": client, "security": {**security, **changes}}


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_with_a_password_over_tls(secured, tmp_path, client):
    topics = make_topics(secured)
    allow_all(secured, "User:me", topics)
    send(secured, topics["instances"], small_instances(300))
    config = write_config(tmp_path, secured, topics, kafka=by_password(secured, client))
    looked = consume(str(config), "--dry-run")
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert f"read {topics['instances']}, write {topics['dead']}, write {topics['predictions']}" in looked.stdout
    ended = consume(str(config), "--stop-at-end")
    assert ended.returncode == 0, ended.stderr
    assert len(by_key(read(secured, topics["predictions"]))) == 300
    assert "hunter2" not in looked.stdout + looked.stderr + ended.stderr


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_with_a_certificate_of_its_own(secured, tmp_path, client):
    topics = make_topics(secured)
    send(secured, topics["instances"], small_instances(300))
    pem = str(secured.files / "client.pem")
    security = {
        "protocol": "SSL",
        "ca_file": str(secured.files / "ca.pem"),
        "cert_file": pem,
        "key_file": pem,
        "key_password": {"file": str(secured.files / "key-password")},
    }
    kafka = {"servers": [f"127.0.0.1:{secured.mutual}"], "client": client, "security": security}
    config = write_config(tmp_path, secured, topics, kafka=kafka)
    for who in ("User:CN=client@example.org", "User:*"):
        allow_all(secured, who, topics)
    ended = consume(str(config), "--stop-at-end")
    assert ended.returncode == 0, ended.stderr
    assert newest(config).facts["counts"]["learned"] == 300


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
@pytest.mark.parametrize("wrong", ["password", "ca", "file"])
def test_what_is_wrong_is_said(secured, tmp_path, client, wrong):
    topics = make_topics(secured)
    (tmp_path / "password").write_text("hunter3\n")
    changes: dict[str, Any] = {
        "password": {"password": {"file": str(tmp_path / "password")}},
        "ca": {"ca_file": str(secured.files / "other-ca.pem")},
        "file": {"ca_file": str(tmp_path / "none.pem")},
    }[wrong]
    expected = {"password": "invalid username or password", "ca": "certificate verify failed", "file": "no such file"}
    for seconds in (4, 30):  # a busy broker may close a connection before it says why: the next one hears it
        kafka = {**by_password(secured, client, **changes), "connect_timeout_seconds": seconds}
        config = write_config(tmp_path, secured, topics, kafka=kafka)
        ended = consume(str(config), "--stop-at-end")
        assert ended.returncode in (1, 2)
        said = ended.stderr.lower()
        if expected[wrong] in said:
            break
    assert expected[wrong] in said, ended.stderr
    assert "hunter3" not in said
    assert "traceback" not in said


def test_a_dry_run_names_what_is_not_allowed(secured, tmp_path):
    topics = make_topics(secured)
    allow(secured, "User:me", topics["instances"], AclOperation.DESCRIBE)
    allow(secured, "User:me", topics["predictions"], AclOperation.WRITE)
    config = write_config(tmp_path, secured, topics, kafka=by_password(secured, "kafka-python"))
    looked = consume(str(config), "--dry-run")
    assert looked.returncode == 1
    assert f"not allowed to read {topics['instances']}, write {topics['dead']}" in looked.stdout
