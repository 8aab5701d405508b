"""openpi's own client against the server: the same actions as a bare call, and errors that stay with their client."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from steering.errors import InputError
from steering.models.pi0 import PI0Policy
from steering.serving.observing import observation
from steering.serving.packing import pack, unpack
from steering.serving.server import MOST_CLIENTS, Served, check_reach, generator, listening
from steering.trials.book import create
from steering.types import Robot, TrialPlan

openpi = pytest.importorskip("openpi_client.websocket_client_policy", reason="`make test` installs openpi-client")

pytestmark = pytest.mark.filterwarnings(
    "ignore:connect.. must be used as a context manager:DeprecationWarning"
)  # theirs

RNG = np.random.default_rng(1)
MESSAGE = {
    "observation/image": RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8),
    "observation/wrist_image": RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8),
    "observation/state": RNG.standard_normal(8, dtype=np.float32),
    "prompt": "press the button",
}
KEY = "a key that nobody guesses"


@contextmanager
def running(*served: Served, **options: Any) -> Iterator[int]:
    """The port of a server that runs in a thread."""
    loop, ready, port = asyncio.new_event_loop(), threading.Event(), []
    stop: Any = asyncio.Event()

    async def run() -> None:
        async with listening({one.name: one for one in served}, host="127.0.0.1", port=0, **options) as server:
            port.append(server.sockets[0].getsockname()[1])
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert ready.wait(20)
        yield port[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def bare(policy: PI0Policy, seed: int, calls: int = 1) -> list[np.ndarray]:
    """What the policy answers to MESSAGE without a server, call after call."""
    noise, seen = generator(seed), observation(MESSAGE, Served("", policy).wanted)
    shape = (1, policy.chunk_size, policy.noise_dim)
    return [policy.act(seen, noise.standard_normal(shape).astype(np.float32))[0] for _ in range(calls)]


def test_openpis_client_gets_the_actions_of_a_bare_call(policy: PI0Policy) -> None:
    with running(Served("zero_shot", policy, rate_hz=20.0)) as port:
        client = openpi.WebsocketClientPolicy("127.0.0.1", port)
        told = client.get_server_metadata()
        assert (told["method"], told["chunk_size"], told["action_dim"], told["rate_hz"]) == ("zero_shot", 4, 7, 20.0)
        answers = [client.infer(MESSAGE) for _ in range(2)]
        for answer, expected in zip(answers, bare(policy, 0, 2), strict=True):
            assert answer["actions"].dtype == np.float32 and np.array_equal(answer["actions"], expected)
            assert answer["server_timing"]["infer_ms"] > 0
        assert client.infer({"endpoint": "reset", "seed": 5}) == {"reset": True}
        assert np.array_equal(client.infer({**MESSAGE, "endpoint": "infer"})["actions"], bare(policy, 5)[0])
        client._ws.close()


def test_a_path_chooses_the_policy_and_the_gripper_is_turned_back(policy: PI0Policy) -> None:
    turned = Robot(action_roles=("joint",) * 6 + ("gripper",), turned=(0.0, 100.0))
    with running(Served("zero_shot", policy), Served("steering", policy, robot=turned)) as port:
        client = openpi.WebsocketClientPolicy(f"ws://127.0.0.1:{port}/steering")
        assert client.get_server_metadata()["methods"] == ["zero_shot", "steering"]
        actions = client.infer(MESSAGE)["actions"]
        expected = bare(policy, 0)[0]
        assert np.array_equal(actions[:, :6], expected[:, :6])
        assert np.allclose(actions[:, 6], 100 - expected[:, 6], atol=1e-4)
        client._ws.close()
        with pytest.raises(InvalidStatus, match="404"), connect(f"ws://127.0.0.1:{port}/elsewhere"):
            pass


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("a text", "binary message"),
        (b"\xc1", "msgpack"),
        (pack([1, 2]), "as a map"),
        (pack({}), "at least one picture"),
        (pack({**MESSAGE, "observation/state": np.zeros(3, np.float32)}), "Expected 8 state dimensions"),
        (pack({"endpoint": "reset", "seed": -1}), "seed as a whole number"),
    ],
)
def test_a_bad_message_ends_its_own_connection_alone(policy: PI0Policy, message: str | bytes, words: str) -> None:
    with running(Served("zero_shot", policy)) as port:
        other = openpi.WebsocketClientPolicy("127.0.0.1", port)
        with connect(f"ws://127.0.0.1:{port}", max_size=None) as bad:
            unpack(bad.recv())
            bad.send(message)
            said = bad.recv()
            assert isinstance(said, str) and words in said
            with pytest.raises(Exception, match="1007"):
                bad.recv()
        assert np.array_equal(other.infer(MESSAGE)["actions"], bare(policy, 0)[0])
        with pytest.raises(RuntimeError, match="Error in inference server"):
            other.infer({"prompt": "no picture"})
        other._ws.close()


class Broken:
    """A policy that fails, or gives no numbers."""

    def __init__(self, policy: PI0Policy, error: Exception | None) -> None:
        self.name, self.chunk_size, self.action_dim, self.noise_dim = "broken", 4, 7, policy.noise_dim
        self.head_shape, self.error = policy.head_shape, error

    def act(self, observation: object, noise: np.ndarray) -> np.ndarray:
        if self.error is not None:
            raise self.error
        return np.full((1, 4, 7), np.nan, np.float32)


def test_a_policy_that_fails_sends_no_actions_and_tells_no_secrets(policy: PI0Policy) -> None:
    served = [
        Served("fails", Broken(policy, RuntimeError("/secret/path"))),
        Served("nan", Broken(policy, None)),
    ]
    with running(*served) as port:
        for name, words in (("fails", r"failed \(RuntimeError\)"), ("nan", "not finite")):
            client = openpi.WebsocketClientPolicy(f"ws://127.0.0.1:{port}/{name}")
            with pytest.raises(RuntimeError, match=words) as raised:
                client.infer(MESSAGE)
            assert "secret" not in str(raised.value)


def test_others_need_the_key_and_pages_are_not_let_in(policy: PI0Policy) -> None:
    with running(Served("zero_shot", policy), key=KEY) as port:
        url = f"ws://127.0.0.1:{port}"
        for headers in ({}, {"Authorization": "Api-Key wrong"}, {"Authorization": f"Api-Key {KEY}\u00e9"}):
            with pytest.raises(InvalidStatus, match="401"), connect(url, additional_headers=headers):
                pass
        openpi.WebsocketClientPolicy("127.0.0.1", port, api_key=KEY)._ws.close()
        known = {"Authorization": f"Api-Key {KEY}"}
        with (
            pytest.raises(InvalidStatus, match="403"),
            connect(url, additional_headers=known, origin="http://evil.example"),
        ):
            pass


def test_only_so_many_clients_are_let_in(policy: PI0Policy) -> None:
    with running(Served("zero_shot", policy)) as port:
        url = f"ws://127.0.0.1:{port}"
        with ExitStack() as clients:
            for _ in range(MOST_CLIENTS):
                clients.enter_context(connect(url)).recv()
            with pytest.raises(InvalidStatus, match="503"), connect(url):
                pass
        with connect(url) as again:
            assert unpack(again.recv())["method"] == "zero_shot"


def test_where_it_may_listen() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        check_reach(host, None)
    check_reach("0.0.0.0", KEY)
    for host, key in (("0.0.0.0", None), ("192.168.0.4", None), ("robot.lab", None), ("127.0.0.1", "short")):
        with pytest.raises(InputError, match="key"):
            check_reach(host, key)


def test_a_taken_address_is_said(policy: PI0Policy) -> None:
    served = Served("zero_shot", policy)

    async def twice(port: int) -> None:
        async with listening({"zero_shot": replace(served)}, host="127.0.0.1", port=port):
            pass

    with running(served) as port, pytest.raises(InputError, match="Choose another --port"):
        asyncio.run(twice(port))


def test_a_trial_book_says_whose_turn_it_is_and_nobody_is_told(policy: PI0Policy, tmp_path: Path) -> None:
    book = create(tmp_path / "book", TrialPlan(("zero_shot", "nan"), blocks=1))
    served = Served("zero_shot", policy), Served("nan", Broken(policy, None))
    with running(*served, choose=book.method_now) as port:
        url = f"ws://127.0.0.1:{port}"
        with pytest.raises(InvalidStatus, match="404"), connect(f"{url}/zero_shot"):
            pass
        for slot in book.slots:
            client = openpi.WebsocketClientPolicy(url)
            told = client.get_server_metadata()
            assert told["policy"] == told["method"] == "blinded" and told["methods"] == []
            if slot.method == "nan":
                with pytest.raises(RuntimeError, match="not finite"):
                    client.infer(MESSAGE)
            else:
                assert np.array_equal(client.infer(MESSAGE)["actions"], bare(policy, 0)[0])
                client._ws.close()
            book.record("success")
        with pytest.raises(RuntimeError, match="Every trial of the plan has an outcome"):
            openpi.WebsocketClientPolicy(url).infer(MESSAGE)
