"""This process's connection to a Ray: the environment that Ray reads, the token, and the way in and out."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from pipeline.errors import UsageError
from workers.lane import LaneBroken

_ANSWER_SECONDS = 30.0  # that a cluster has to answer


@contextmanager
def environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """`os.environ` with these changes (None: without it), read by Ray; afterwards everything is as before."""
    before = dict(os.environ)
    _change(changes)
    try:
        yield
    finally:
        _change({name: before.get(name) for name in {*before, *os.environ}})


def _change(values: Mapping[str, str | None]) -> None:
    from ray import _raylet

    core: Any = _raylet  # compiled, without stubs
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        elif os.environ.get(name) != value:
            os.environ[name] = value
    core.Config.initialize("")  # Ray has read them once, and does so again only when asked
    core.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Inside this block `ray` speaks to this cluster. Raises LaneBroken."""
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL)  # the lane that lost a worker says so
    _keep_quiet()
    try:
        with _own_signals():
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as error:  # Ray raises no narrower one
        ray.shutdown()
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LaneBroken(f"no Ray cluster answers at {address}: {why}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _keep_quiet() -> None:
    """Ray prints what its raylets complain of to standard output, where a run's own answer belongs, even with
    `log_to_driver=False`; and it may quote what was read.
    """
    from ray._private import worker

    driver: Any = worker
    driver.print_to_stdstream = lambda *_arguments, **_named: None


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray puts handlers of its own in place, which end the process; afterwards those of before are back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def admission(address: str, notify: Callable[[str], None]) -> dict[str, str | None]:
    """The environment with which to join this cluster: with the user's own token where it asks for one.

    `notify` gets a line when the cluster asks for none. Raises LaneBroken when it is not there, when there is
    no token or a wrong one, and when the user insists on tokens (RAY_AUTH_MODE=token) and it asks for none;
    UsageError for what is no address.
    """
    if "://" in address:
        return {}  # a server for Ray clients: it is asked when Ray connects
    with environment({"RAY_AUTH_MODE": "disabled"}):
        guarded = not _admitted(address)
    if not guarded:
        open_to_all = f"the Ray cluster at {address} asks for no token"
        if os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
            raise LaneBroken(f"{open_to_all}, and RAY_AUTH_MODE=token is set here: start it with that, too")
        notify(
            f"warning: {open_to_all}: whoever reaches it can run code there and read what this run reads; "
            "start it with RAY_AUTH_MODE=token"
        )
        return {"RAY_AUTH_MODE": "disabled"}
    with environment({"RAY_AUTH_MODE": "token"}):
        if not _has_token():
            raise LaneBroken(
                f"the Ray cluster at {address} asks for a token and there is none here: "
                "set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file that holds it"
            )
        if not _admitted(address):
            raise LaneBroken(
                f"the Ray cluster at {address} refuses the token given here "
                "(RAY_AUTH_TOKEN, else the file RAY_AUTH_TOKEN_PATH, else ~/.ray/auth_token)"
            )
    return {"RAY_AUTH_MODE": "token"}


def _has_token() -> bool:
    from ray import _raylet

    core: Any = _raylet
    with suppress(Exception):  # a file that is missing, empty or may not be read: Ray has no narrower type
        return bool(core.AuthenticationTokenLoader.instance().has_token())
    return False


def _admitted(address: str) -> bool:
    """Whether the cluster answers a harmless question as this process would ask it. Raises LaneBroken."""
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    messages: Any = gcs_service_pb2  # made at run time
    services: Any = gcs_service_pb2_grpc

    channel = init_grpc_channel(_host_and_port(address))
    try:
        stub = services.InternalKVGcsServiceStub(channel)
        request = messages.InternalKVExistsRequest(namespace=b"session", key=b"session_name")
        stub.InternalKVExists(request, timeout=_ANSWER_SECONDS)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAUTHENTICATED:
            return False
        raise LaneBroken(f"no Ray cluster answers at {address}: {error.code().name.lower()}") from None
    finally:
        channel.close()
    return True


def _host_and_port(address: str) -> str:
    from ray._private import services

    try:
        return str(services.canonicalize_bootstrap_address_or_die(address))
    except ValueError:
        raise UsageError(f"{address!r} is no address of a Ray cluster; write HOST:PORT") from None
    except ConnectionError as error:  # of "auto"
        raise LaneBroken(f"no Ray cluster is here to be joined: {error}") from None
