"""S3 on real servers: RGW for rights, pages and races; moto behind a failing proxy for the network."""

from __future__ import annotations

import concurrent.futures
import inspect
import io
import json
import pickle
import socket
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from itertools import pairwise

import boto3
import botocore.exceptions
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from pipeline.errors import Coded, Permanent, Reason, Transient, UsageError
from pipeline.records import DocumentRef, Failure
from pipeline.settings import SourceSettings
from pipeline.sources import fetch, list_documents, s3
from pipeline.sources.limits import SizeLimits
from pipeline.sources.s3_errors import translate
from tests.servers.faults import Fault, FaultProxy
from tests.servers.s3 import S3Server
from workers.flow_control import CircuitBreaker
from workers.lane import SourceRefuses


def settings_for(server: S3Server, **changes: object) -> SourceSettings:
    return SourceSettings.model_validate({"s3_endpoint": server.endpoint, "attempts": 2, **changes})


def listed(source: str, settings: SourceSettings) -> list[DocumentRef]:
    return list(list_documents([source], settings))


def keys(found: list[DocumentRef]) -> list[str]:
    return [ref.uri.removeprefix("s3://").partition("/")[2] for ref in found]


@pytest.mark.slow
def test_thousands_of_keys_come_page_by_page(rgw: S3Server) -> None:
    bucket, client = rgw.bucket(), rgw.client()
    expected = [f"in/{n:05}.pdf" for n in range(2500)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.put_object(Bucket=bucket, Key=key, Body=b"x"), expected))
    assert keys(listed(f"s3://{bucket}/in/", settings_for(rgw))) == expected


@pytest.mark.slow
def test_prefixes_keys_and_globs(rgw: S3Server) -> None:
    names = [
        ".DS_Store",
        "a.pdf",
        "a.pdf.bak",
        "in/",
        "in/1.pdf",
        "in/2 hóa đơn+.png",
        "in/deep/3.tif",
        "in/note.docx",
        "in/x[1].pdf",
    ]
    bucket = rgw.bucket({name: b"" if name.endswith("/") else name.encode() for name in names})
    settings = settings_for(rgw)

    def found(tail: str) -> list[str]:
        return keys(listed(f"s3://{bucket}{tail}", settings))

    assert found("") == found("/") == [name for name in names if name not in ("in/", ".DS_Store")]
    assert found("/a.pdf") == ["a.pdf"]
    assert found("/in/d") == ["in/deep/3.tif"]
    assert found("/a") == found("/a.") == ["a.pdf", "a.pdf.bak"]  # a prefix is where a key begins
    assert found("/.D") == [".DS_Store"]  # it was named
    assert found("/*") == ["a.pdf", "a.pdf.bak"] and found("/.*") == [".DS_Store"]
    everything = list_documents([f"s3://{bucket}/"], settings, passed_over=True)
    assert [ref.uri for ref in everything if ref.failure and ref.failure.reason is Reason.passed_over] == [
        f"s3://{bucket}/.DS_Store"
    ]
    assert found("/in/*.pdf") == ["in/1.pdf", "in/x[1].pdf"]
    assert found("/**/*.tif") == ["in/deep/3.tif"]
    assert found("/in/x[1].pdf") == ["in/x[1].pdf"]
    refs = listed(f"s3://{bucket}/in/", settings)
    assert [ref.failure.reason for ref in refs if ref.failure] == [Reason.unsupported_type]
    for ref in refs:
        if not ref.failure:
            document = fetch(ref.uri, settings, ref.etag)
            assert document.data == keys([ref])[0].encode() and document.etag == ref.etag
            assert ref.size == len(document.data)


@pytest.mark.slow
def test_a_prefix_that_is_also_a_key_means_all_that_begins_with_it(moto: S3Server) -> None:
    """Some programs make an object for a folder."""
    names = ("in", "in.2/c.pdf", "in/1.pdf", "in/.hid/x.pdf", "in2.pdf", "lone", "a.pdf", "a.pdf.part")
    bucket = moto.bucket(dict.fromkeys(names, b"x"))
    settings = settings_for(moto)
    found = {tail: keys(listed(f"s3://{bucket}/{tail}", settings)) for tail in ("in", "lone", "a.pdf", "in/")}
    assert found["in"] == ["in", "in.2/c.pdf", "in/1.pdf", "in2.pdf"]
    assert (found["lone"], found["a.pdf"], found["in/"]) == (["lone"], ["a.pdf"], ["in/1.pdf"])


@pytest.mark.slow
def test_what_is_not_there_is_wrong_use(rgw: S3Server) -> None:
    bucket, settings = rgw.bucket({"a.pdf": b"x"}), settings_for(rgw)
    for source in (f"s3://{bucket}/nothing", f"s3://{bucket}/*.png", "s3://no-such-bucket-anywhere/x"):
        with pytest.raises(UsageError, match=source.split("/")[2]):
            list_documents([source], settings)


@pytest.mark.slow
def test_fetching_is_pinned_to_the_listed_version(rgw: S3Server) -> None:
    bucket, settings = rgw.bucket({"a.pdf": b"old", "gone.pdf": b"x"}), settings_for(rgw)
    changed, gone = listed(f"s3://{bucket}/", settings)
    rgw.client().put_object(Bucket=bucket, Key="a.pdf", Body=b"new")
    rgw.client().delete_object(Bucket=bucket, Key="gone.pdf")
    for ref, reason in ((changed, Reason.object_changed), (gone, Reason.object_missing)):
        with pytest.raises(Permanent) as caught:
            fetch(ref.uri, settings, ref.etag)
        assert caught.value.reason is reason and ref.uri in caught.value.message
    assert fetch(changed.uri, settings).data == b"new"


@pytest.mark.slow
def test_a_race_with_a_writer_never_mixes_versions(rgw: S3Server) -> None:
    versions = [bytes([n]) * 300_000 for n in range(1, 5)]
    bucket, settings = rgw.bucket({"a.pdf": versions[0]}), settings_for(rgw)
    stop = threading.Event()

    def rewrite() -> None:
        client, turn = rgw.client(), 0
        while not stop.is_set():
            turn += 1
            client.put_object(Bucket=bucket, Key="a.pdf", Body=versions[turn % 4])

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        outcomes = []
        for _ in range(40):
            (ref,) = listed(f"s3://{bucket}/a.pdf", settings)
            try:
                document = fetch(ref.uri, settings, ref.etag)
                assert document.data in versions and document.etag == ref.etag
                outcomes.append("read")
            except Permanent as error:
                assert error.reason is Reason.object_changed
                outcomes.append("changed")
    finally:
        stop.set()
        writer.join()
    assert len(outcomes) == 40


@pytest.mark.slow
def test_an_object_in_parts(rgw: S3Server) -> None:
    """Its etag is no MD5 (and RGW's listing leaves it empty)."""
    bucket, settings = rgw.bucket(), settings_for(rgw)
    data = bytes(range(256)) * 40_000
    parts = TransferConfig(multipart_threshold=2**20, multipart_chunksize=5 * 2**20)
    rgw.client().upload_fileobj(io.BytesIO(data), bucket, "large.pdf", Config=parts)
    (ref,) = listed(f"s3://{bucket}/", settings)
    assert fetch(ref.uri, settings, ref.etag).data == data


@pytest.mark.slow
def test_size_is_judged_before_the_download(rgw: S3Server) -> None:
    bucket = rgw.bucket({"a.pdf": b"x" * 1000, "empty.pdf": b""})
    with pytest.raises(Permanent, match="1,000 bytes; at most 999") as caught:
        fetch(f"s3://{bucket}/a.pdf", settings_for(rgw, max_bytes=999))
    assert caught.value.reason is Reason.too_many_bytes
    with pytest.raises(Permanent) as caught:
        fetch(f"s3://{bucket}/empty.pdf", settings_for(rgw))
    assert caught.value.reason is Reason.empty_file


@pytest.mark.slow
@pytest.mark.parametrize("who", ["wrong secret", "unknown key", "another user", "nobody"])
def test_who_may_not_read_is_told_so(rgw: S3Server, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    bucket = rgw.bucket({"a.pdf": b"x"})
    if who == "wrong secret":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    elif who == "unknown key":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "UNKNOWN")
    elif who == "another user":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", rgw.other_access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", rgw.other_secret_key)
    else:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("HOME", "/nonexistent")
    settings = settings_for(rgw)
    for act in (
        lambda: list_documents([f"s3://{bucket}/"], settings),
        lambda: fetch(f"s3://{bucket}/a.pdf", settings),
    ):
        with pytest.raises(Permanent) as caught:
            act()
        assert caught.value.reason is Reason.access_denied
        assert bucket in caught.value.message and "AWS_ACCESS_KEY_ID" in caught.value.message
        assert rgw.secret_key not in str(caught.value)


@pytest.mark.medium
def test_an_endpoint_where_nobody_is() -> None:
    with pytest.MonkeyPatch.context() as patch, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nobody else can listen on this port, and this one does not
        port = silent.getsockname()[1]
        settings = SourceSettings(s3_endpoint=f"http://127.0.0.1:{port}", attempts=2)
        patch.setenv("AWS_ACCESS_KEY_ID", "a")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        with pytest.raises(Transient) as caught:
            list_documents(["s3://bucket/x"], settings)
        assert caught.value.reason is Reason.store_unreachable and "127.0.0.1" in caught.value.message
        with pytest.raises(UsageError, match="http://host:port"):
            list_documents(["s3://bucket/x"], SourceSettings(s3_endpoint="localhost:9000"))


@pytest.mark.slow
def test_archives_and_manifests_in_a_bucket(rgw: S3Server) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("1.pdf", b"one")
        archive.writestr("../2.pdf", b"two")
    bucket = rgw.bucket({"in/a.zip": packed.getvalue(), "in/b.pdf": b"b", "bad.zip": b"no zip"})
    settings = settings_for(rgw)
    rgw.client().put_object(
        Bucket=bucket, Key="in/list.jsonl", Body=f'"b.pdf"\nx\n"s3://{bucket}/in/a.zip"\n'.encode()
    )
    assert keys(listed(f"s3://{bucket}/in/", settings)) == [
        "in/a.zip!/1.pdf", "in/a.zip!/../2.pdf", "in/b.pdf",  # a list is read when it is named
    ]  # fmt: skip
    found = listed(f"s3://{bucket}/in/list.jsonl", settings)
    assert keys(found) == ["in/b.pdf", "in/list.jsonl#line-2", "in/a.zip!/1.pdf", "in/a.zip!/../2.pdf"]
    assert [ref.failure.reason if ref.failure else None for ref in found] == [
        None, Reason.manifest_line, None, Reason.archive_member,
    ]  # fmt: skip
    (member,) = listed(f"s3://{bucket}/in/a.zip!/1.pdf", settings)
    assert fetch(member.uri, settings, member.etag).data == b"one"
    assert fetch(member.uri, settings).data == b"one"
    (damaged,) = listed(f"s3://{bucket}/bad.zip", settings)
    assert damaged.failure and damaged.failure.reason is Reason.archive_damaged
    with pytest.raises(Permanent):
        fetch(f"s3://{bucket}/in/a.zip!/1.pdf", settings_for(rgw, max_archive_bytes=10))
    rgw.client().put_object(Bucket=bucket, Key="in/a.zip", Body=b"replaced")
    with pytest.raises(Permanent) as caught:
        fetch(member.uri, settings_for(rgw, archive_ratio=100), member.etag)
    assert caught.value.reason is Reason.object_changed


# A network that fails


@pytest.fixture(params=["when_required", "when_supported"], ids=["etag", "checksum"])
def bad_network(
    request: pytest.FixtureRequest, moto: S3Server, fault_proxy: FaultProxy
) -> Iterator[tuple[FaultProxy, str, SourceSettings]]:
    """A proxy, a bucket of three objects stored without or with checksums, and settings that go through the
    proxy."""
    client = boto3.client(
        "s3", endpoint_url=moto.endpoint, config=Config(request_checksum_calculation=request.param)
    )
    bucket = moto.bucket()
    for n in range(3):
        client.put_object(Bucket=bucket, Key=f"{n}.pdf", Body=bytes([65 + n]) * 5000)
    yield fault_proxy, bucket, SourceSettings(s3_endpoint=fault_proxy.endpoint, attempts=4)


def impatient(settings: SourceSettings) -> SourceSettings:
    """Long enough for an honest answer on a busy machine, short enough to wait for one that never comes."""
    return settings.model_copy(update={"timeout_seconds": 3})


@pytest.mark.medium
@pytest.mark.parametrize("fault", ["503", "reset", "truncate", "corrupt", "hang"])
def test_a_passing_fault_is_survived(
    bad_network: tuple[FaultProxy, str, SourceSettings], fault: Fault
) -> None:
    proxy, bucket, settings = bad_network
    proxy.faults.extend([fault])
    document = fetch(f"s3://{bucket}/1.pdf", impatient(settings) if fault == "hang" else settings)
    assert document.data == b"B" * 5000
    assert proxy.connections == 2


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["503", "reset", "truncate", "corrupt"])
def test_a_lasting_fault_ends_after_the_allowed_tries(
    bad_network: tuple[FaultProxy, str, SourceSettings], fault: Fault, request: pytest.FixtureRequest
) -> None:
    proxy, bucket, settings = bad_network
    by_etag = fault == "corrupt" and request.node.callspec.params["bad_network"] == "when_required"
    proxy.faults.extend([fault] * 50)
    with pytest.raises(Transient) as caught:
        fetch(f"s3://{bucket}/1.pdf", settings)
    assert caught.value.reason is (Reason.checksum_mismatch if by_etag else Reason.store_unreachable)
    assert proxy.connections == settings.attempts


@pytest.mark.medium
def test_an_archive_that_arrives_corrupt_is_fetched_again(
    bad_network: tuple[FaultProxy, str, SourceSettings],
) -> None:
    proxy, bucket, settings = bad_network
    proxy.faults.extend(["corrupt"])
    into = io.BytesIO()
    s3.download(bucket, "1.pdf", settings, None, into)
    assert into.getvalue() == b"B" * 5000


@pytest.mark.medium
def test_a_body_comes_in_pieces_that_grow_to_a_bound(moto: S3Server) -> None:
    """A trickle is noticed at the first ones, and the last ones cost no memory."""
    data = bytes(range(256)) * 1500
    bucket, pieces = moto.bucket({"a.pdf": data}), list[bytes]()
    s3.body(f"s3://{bucket}/a.pdf", None, settings_for(moto), SizeLimits(len(data)), pieces.append)
    assert b"".join(pieces) == data
    sizes = [len(piece) for piece in pieces[:-1]]
    assert sizes[0] < 1000 and sizes == sorted(sizes) and max(sizes) == 2**16
    assert all(size <= 2 * before for before, size in pairwise(sizes))


@pytest.mark.slow
def test_a_body_that_trickles_is_given_up(bad_network: tuple[FaultProxy, str, SourceSettings]) -> None:
    proxy, bucket, settings = bad_network
    proxy.faults.extend(["slow"])
    once = impatient(settings).model_copy(update={"attempts": 1})
    with pytest.raises(Transient) as caught:
        fetch(f"s3://{bucket}/1.pdf", once)
    assert caught.value.reason is Reason.store_unreachable


@pytest.mark.medium
@pytest.mark.parametrize("fault", ["503", "reset", "truncate"])
def test_a_listing_survives_faults(bad_network: tuple[FaultProxy, str, SourceSettings], fault: Fault) -> None:
    proxy, bucket, settings = bad_network
    proxy.faults.extend([fault, fault])
    assert keys(listed(f"s3://{bucket}/", settings)) == ["0.pdf", "1.pdf", "2.pdf"]


# The map of errors


def test_every_exception_of_botocore_has_its_place() -> None:
    """None escapes, and none that is about the network is taken for a lasting one."""
    kinds = [
        kind
        for _, kind in inspect.getmembers(botocore.exceptions, inspect.isclass)
        if issubclass(kind, Exception) and not issubclass(kind, Warning)
    ]
    assert len(kinds) > 80
    for kind in kinds:
        error = kind.__new__(kind)
        Exception.__init__(error, "what it says")
        if isinstance(error, botocore.exceptions.ClientError):
            error.response = {}
        mapped = translate(error, "s3://bucket/key", None)
        assert isinstance(mapped, Coded) and "s3://bucket/key" in mapped.message
        network = issubclass(kind, botocore.exceptions.HTTPClientError | botocore.exceptions.ConnectionError)
        broken_off = any(word in kind.__name__ for word in ("Timeout", "Incomplete", "Streaming", "Checksum"))
        if network or (broken_off and "Config" not in kind.__name__):
            assert isinstance(mapped, Transient), kind
        if any(word in kind.__name__ for word in ("Credential", "Token", "SSO", "Login")):
            assert mapped.reason is Reason.access_denied, kind
        again = pickle.loads(pickle.dumps(mapped))
        assert (type(again), again.reason, again.message) == (type(mapped), mapped.reason, mapped.message)


@pytest.mark.parametrize(
    ("status", "code", "kind", "reason"),
    [
        (404, "NoSuchKey", Permanent, Reason.object_missing),
        (404, "404", Permanent, Reason.object_missing),
        (404, "NoSuchBucket", Permanent, Reason.bucket_missing),
        (403, "AccessDenied", Permanent, Reason.access_denied),
        (403, "SignatureDoesNotMatch", Permanent, Reason.access_denied),
        (403, "RequestTimeTooSkewed", Permanent, Reason.access_denied),
        (403, "InvalidObjectState", Permanent, Reason.object_archived),
        (401, "Unauthorized", Permanent, Reason.access_denied),
        (301, "PermanentRedirect", Permanent, Reason.wrong_region),
        (301, "301", Permanent, Reason.wrong_region),
        (400, "AuthorizationHeaderMalformed", Permanent, Reason.wrong_region),
        (412, "PreconditionFailed", Permanent, Reason.object_changed),
        (400, "ExpiredToken", Transient, Reason.access_denied),
        (400, "RequestTimeout", Transient, Reason.store_unreachable),
        (429, "TooManyRequests", Transient, Reason.store_unreachable),
        (500, "InternalError", Transient, Reason.store_unreachable),
        (503, "SlowDown", Transient, Reason.store_unreachable),
        (504, "", Transient, Reason.store_unreachable),
    ],
)
def test_what_a_server_answers(status: int, code: str, kind: type[Coded], reason: Reason) -> None:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = botocore.exceptions.ClientError(response, "GetObject")  # type: ignore[arg-type]
    mapped = translate(error, "s3://bucket/key", "http://endpoint")
    assert (type(mapped), mapped.reason) == (kind, reason)


def answered(status: int, code: str, message: str, **error: str) -> Coded:
    response = {
        "Error": {"Code": code, "Message": message, **error},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return translate(botocore.exceptions.ClientError(response, "GetObject"), "s3://bucket/key", None)  # type: ignore[arg-type]


def test_what_is_not_a_matter_of_rights_has_a_code_and_a_sentence_of_its_own() -> None:
    """The messages are those of S3, of MinIO and of RGW; only these tell some cases apart."""
    keyed = (
        "The object was stored using a form of Server Side Encryption. The correct parameters must be "
        "provided to retrieve the object."
    )
    for error, reason, said in (
        (answered(400, "InvalidRequest", keyed), Reason.customer_key, "SSE-C"),
        (
            answered(403, "InvalidObjectState", "not valid for the storage class"),
            Reason.object_archived,
            "restore",
        ),
        (
            answered(403, "AccessDenied", "Bucket is Requester Pays: x-amz-request-payer is missing"),
            Reason.requester_pays,
            'source.request_payer = "requester"',
        ),
        (
            answered(400, "AuthorizationHeaderMalformed", "the region is wrong", Region="ap-southeast-1"),
            Reason.wrong_region,
            "AWS_REGION=ap-southeast-1",
        ),
        (answered(403, "AccessDenied", "Access Denied"), Reason.access_denied, "source.request_payer"),
    ):
        assert isinstance(error, Permanent) and error.reason is reason and said in error.message
        breaker = CircuitBreaker(1)
        if reason is Reason.access_denied:
            with pytest.raises(SourceRefuses):
                breaker.failed(Failure.of(error))
        else:
            breaker.failed(Failure.of(error))  # one such object does not stop a lane


@pytest.mark.medium
def test_archived_objects_are_told_by_the_listing(moto: S3Server) -> None:
    bucket, client = moto.bucket({"9.pdf": b"live"}), moto.client()
    for number, storage in enumerate(("GLACIER", "DEEP_ARCHIVE", "GLACIER_IR", "STANDARD_IA", "GLACIER")):
        client.put_object(Bucket=bucket, Key=f"{number}.pdf", Body=b"x", StorageClass=storage)
    client.restore_object(Bucket=bucket, Key="4.pdf", RestoreRequest={"Days": 1})
    settings = settings_for(moto)
    found = listed(f"s3://{bucket}/", settings)
    assert keys(found) == ["0.pdf", "1.pdf", "2.pdf", "3.pdf", "4.pdf", "9.pdf"]
    for ref, storage in zip(found, ("GLACIER", "DEEP_ARCHIVE"), strict=False):
        assert ref.failure and ref.failure.reason is Reason.object_archived and storage in ref.failure.message
    for ref in (found[2], found[3], found[5]):
        assert not ref.failure and fetch(ref.uri, settings, ref.etag).data
    with pytest.raises(Permanent) as caught:
        fetch(found[0].uri, settings)
    assert caught.value.reason is Reason.object_archived


def test_a_restored_object_can_be_read() -> None:
    item = {"StorageClass": "GLACIER"}
    assert s3._archived(item) == "GLACIER"
    restored = {"IsRestoreInProgress": False, "RestoreExpiryDate": "2026-12-01"}
    assert s3._archived(item | {"RestoreStatus": restored}) is None
    assert s3._archived(item | {"RestoreStatus": {"IsRestoreInProgress": True}}) == "GLACIER"


@pytest.mark.slow
def test_who_reads_pays_where_it_is_set(rgw: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """RGW refuses the other user's requests to a requester-pays bucket without the header."""
    bucket, client = rgw.bucket({"a.pdf": b"x"}), rgw.client()
    allow = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": ["*"]},
                "Action": ["s3:GetObject", "s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            }
        ],
    }
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(allow))
    client.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", rgw.other_access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", rgw.other_secret_key)
    settings = settings_for(rgw)
    with pytest.raises(Permanent, match=r"source\.request_payer"):
        fetch(f"s3://{bucket}/a.pdf", settings)
    paying = settings_for(rgw, request_payer="requester")
    (ref,) = listed(f"s3://{bucket}/", paying)
    assert fetch(ref.uri, paying, ref.etag).data == b"x"


@pytest.mark.medium
def test_an_etag_that_is_no_md5_has_its_setting(
    bad_network: tuple[FaultProxy, str, SourceSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that makes up its ETags, as some gateways do; here the MD5 is made up."""
    _, bucket, settings = bad_network
    checked = s3._as_promised
    monkeypatch.setattr(s3, "_as_promised", lambda _md5, answer: checked("0" * 32, answer))
    (stored_with_checksum,) = {s3._as_promised("", boto_answer(settings, bucket))}
    once = settings.model_copy(update={"attempts": 1, "timeout_seconds": 60.0})
    if not stored_with_checksum:
        with pytest.raises(Transient, match=r'source\.checksum = "stored"') as caught:
            fetch(f"s3://{bucket}/1.pdf", once)
        assert caught.value.reason is Reason.checksum_mismatch
    for policy in ("stored", "none"):
        lenient = once.model_copy(update={"checksum": policy})
        assert fetch(f"s3://{bucket}/1.pdf", lenient).data == b"B" * 5000


def boto_answer(settings: SourceSettings, bucket: str) -> dict[str, object]:
    answer: dict[str, object] = s3._client(settings).get_object(Bucket=bucket, Key="1.pdf")
    return answer


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many keys from a server that answers a page at a time; each page is forgotten after use."""

    def page(
        uri: str, bucket: str, prefix: str, more: dict[str, str], settings: SourceSettings
    ) -> dict[str, object]:
        first = int(more.get("ContinuationToken", "0"))
        contents = [{"Key": f"in/{n:09}.pdf", "Size": 5, "ETag": '"e"'} for n in range(first, first + 1000)]
        last = first + 1000 == 100_000
        return {"Contents": contents, "IsTruncated": not last, "NextContinuationToken": str(first + 1000)}

    monkeypatch.setattr(s3, "_page", page)
    tracemalloc.start()
    try:
        count = sum(1 for _ in list_documents(["s3://bucket/in/"], SourceSettings()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 100_000
    assert peak < 5 * 2**20
