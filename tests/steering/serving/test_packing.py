"""Messages are those of openpi's own client, both ways, and what is none of them is refused in words."""

import msgpack
import numpy as np
import pytest

from steering.errors import InputError
from steering.serving.packing import pack, unpack

openpi = pytest.importorskip("openpi_client.msgpack_numpy", reason="`make test` installs openpi-client")

MESSAGE = {
    "observation/image": np.arange(24, dtype=np.uint8).reshape(2, 4, 3),
    "state": np.linspace(-1, 1, 8, dtype=np.float32),
    "prompt": "pick up the cube",
    "nested": {"step": np.float64(1.5), "flags": np.array([True, False]), "empty": np.zeros((0, 3), np.int16)},
    "list": [1, 2.5, None],
}


def test_both_ways_agree_with_openpis_client() -> None:
    assert pack(MESSAGE) == openpi.packb(MESSAGE)
    for found in (unpack(openpi.packb(MESSAGE)), openpi.unpackb(pack(MESSAGE))):
        for name in ("observation/image", "state"):
            assert found[name].dtype == MESSAGE[name].dtype and np.array_equal(found[name], MESSAGE[name])
            assert not found[name].flags.writeable  # over the message's own bytes: pictures are not copied again
        assert found["prompt"] == MESSAGE["prompt"] and found["list"] == MESSAGE["list"]
        assert found["nested"]["step"] == 1.5 and found["nested"]["empty"].shape == (0, 3)


def array(**changed: object) -> bytes:
    whole = {b"__ndarray__": True, b"data": b"\0" * 8, b"dtype": "<f4", b"shape": [2]}
    return msgpack.packb({"state": {**whole, **{name.encode(): value for name, value in changed.items()}}})


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xc1",
        b"\x93\x01",
        b"\x81" * 5000 + b"\x01",
        msgpack.packb({"a": 1})[:-1],
        array(dtype="|O"),
        array(dtype="<c8"),
        array(dtype="V8"),
        array(dtype="nonsense"),
        array(dtype=[["a", "<f4"]]),
        array(shape=[3]),
        array(shape=[-2]),
        array(shape=[1 << 62, 4]),
        array(shape="2"),
        array(shape=[1] * 64),
        array(data="text"),
        msgpack.packb({b"__ndarray__": True}),
        msgpack.packb({b"__npgeneric__": True, b"data": "x", b"dtype": "<f4"}),
        msgpack.packb({b"__npgeneric__": True, b"data": 1, b"dtype": "|O"}),
    ],
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(InputError):
        unpack(message)


def test_what_cannot_travel_is_not_packed() -> None:
    for value in (object(), np.array(["a"]), np.array([1j])):
        with pytest.raises(InputError):
            pack({"value": value})
