"""Bounds of the REST interface: what is too big, too slow, too many or no HTTP harms nobody else."""

import asyncio
import contextlib
import gzip
import json
import resource
import threading
import time

import httpx
import pytest
from rest_server import connected, export, heard, serving
from served import at_once, wait_until

from keras_cl.serve.admission import Admission
from keras_cl.serve.errors import ServingError
from keras_cl.serve.limits import Limits

PREDICT = "/v1/models/half%20plus:predict"
MOST = 1_000_000
GOOD = b'{"instances": [2]}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bounds")
    export(folder / "1")
    return folder


@pytest.fixture(scope="module")
def server(folder):
    with serving(folder, max_request_bytes=MOST, request_timeout_seconds=1.0) as running:
        yield running


def post(server, body=GOOD, **more):
    return httpx.post("http://{}:{}{}".format(*server.address, PREDICT), content=body, timeout=60, **more)


def head(*lines, method="POST"):
    return "\r\n".join([f"{method} {PREDICT} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def said(answer):
    """Status and error of an answer that was received byte by byte."""
    first, _, rest = answer.partition(b"\r\n")
    return int(first.split()[1]), rest.partition(b"\r\n\r\n")[2]


def error(answer):
    status, body = said(answer)
    return status, json.loads(body)["error"]


@pytest.fixture(autouse=True)
def goes_on(request):
    """After each test with the server, a good request is answered."""
    yield
    if "server" in request.fixturenames:
        answer = post(request.getfixturevalue("server"))
        assert (answer.status_code, answer.json()) == (200, {"predictions": [3.0]})


# ---- what is sent ----------------------------------------------------------------------------------------


def test_a_body_that_is_announced_as_too_big_is_not_waited_for(server):
    with connected(server.address) as client:
        client.sendall(head("Content-Length: 1000000000", "Expect: 100-continue", "Connection: close"))
        assert error(heard(client)) == (413, f"The request is larger than the maximum of {MOST} bytes")


def test_a_body_in_chunks_is_read_up_to_the_bound(server):
    sent = 0
    with connected(server.address) as client:
        client.sendall(head("Transfer-Encoding: chunked"))
        client.settimeout(0.05)
        answer = b""
        while not answer and sent < 1000 * MOST:
            client.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            sent += 0x10000
            with contextlib.suppress(TimeoutError):
                answer = client.recv(65536)
    assert said(answer)[0] == 413
    assert MOST < sent < 30 * MOST  # how far the client is ahead of the server depends on the machine


def test_a_small_body_that_unpacks_to_a_big_one(server):
    bomb = gzip.compress(bytes(100 * MOST))
    assert len(bomb) < MOST
    answer = post(server, bomb, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413


def test_unpacked_bytes_count_as_bytes_of_requests_that_are_answered_at_a_time(folder, monkeypatch):
    body = gzip.compress(b'{"instances": [2' + b" " * (MOST // 2) + b"]}")
    with serving(folder, max_request_bytes=MOST) as server:
        held, leased = threading.Event(), server.models.leased

        def slow(*which):
            assert held.wait(60)
            return leased(*which)

        monkeypatch.setattr(server.models, "leased", slow)
        found = []
        gzipped = {"content-encoding": "gzip"}
        threads = [
            threading.Thread(target=lambda: found.append(post(server, body, headers=gzipped).json()))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: server.admission.waiting == 2, 20)
        finally:
            held.set()
        for thread in threads:
            thread.join()
        assert found == [{"predictions": [3.0]}] * 3


@pytest.mark.parametrize(
    "part",
    [b"", b"POST /v1/mod", head("Content-Length: 18")[:-2], head("Content-Length: 18") + GOOD[:-1]],
    ids=["nothing", "a line", "headers", "a body"],
)
def test_what_does_not_arrive_in_time_is_refused(server, part):
    with connected(server.address) as client:
        client.sendall(part)
        began = time.monotonic()
        assert error(heard(client)) == (408, "The request did not arrive within 1 seconds")
        assert 0.5 < time.monotonic() - began < 10


def test_a_byte_now_and_then_does_not_keep_a_connection(server):
    with connected(server.address) as client:
        client.settimeout(0.1)
        answer, began = b"", time.monotonic()
        for byte in head("Content-Length: 18", "Slow: " + "x" * 1000):
            client.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                answer = client.recv(65536)
                break
        assert said(answer)[0] == 408
        assert time.monotonic() - began < 10


def test_the_second_request_of_a_connection_has_a_bound_too(server):
    with connected(server.address) as client:
        client.sendall(head("Content-Length: 18") + GOOD)
        assert said(client.recv(65536))[0] == 200
        client.sendall(b"POST ")
        assert said(heard(client))[0] == 408


@pytest.mark.parametrize(
    "part",
    [b"POST ", head("Content-Length: 18"), head("Content-Length: 18") + GOOD[:5]],
    ids=["a line", "headers", "a body"],
)
def test_a_part_that_comes_together_with_a_request_has_a_bound_too(server, part):
    with connected(server.address, 4) as client:  # idle connections are closed after 5 seconds
        client.sendall(head("Content-Length: 18") + GOOD + part)
        _, *answers = heard(client).split(b"HTTP/1.1 ")
    assert [answer[:3] for answer in answers] == [b"200", b"408"]


@pytest.mark.parametrize("part", [b"POST ", head("Content-Length: 18")], ids=["a line", "headers"])
def test_a_part_waits_for_the_answer_to_the_request_before_it(folder, monkeypatch, part):
    with serving(folder, request_timeout_seconds=0.2) as server, connected(server.address, 4) as client:
        leased = server.models.leased
        monkeypatch.setattr(server.models, "leased", lambda *which: time.sleep(1) or leased(*which))
        client.sendall(head("Content-Length: 18") + GOOD + part)
        _, *answers = heard(client).split(b"HTTP/1.1 ")
    assert [answer[:3] for answer in answers] == [b"200", b"408"]


def test_who_does_not_read_the_answers_loses_the_connection(folder):
    body = b'{"instances": [%b0]}' % (b"0," * 200_000)
    with (
        serving(folder, max_connections=1, request_timeout_seconds=0.5) as server,
        connected(server.address, 0.5) as client,
    ):
        with contextlib.suppress(OSError):  # until the buffers of the system are full
            for _ in range(100):
                client.sendall(head(f"Content-Length: {len(body)}") + body)
        wait_until(lambda: answered(server), 20)


def test_headers_have_a_bound(server):
    with connected(server.address) as client, contextlib.suppress(ConnectionError):
        for _ in range(100):
            client.sendall(b"GET / HTTP/1.1\r\nLong: " * (_ == 0) + b"x" * 10_000)
        status, message = error(heard(client))
        assert (status, message) == (431, "The headers of the request are longer than 65536 bytes")


@pytest.mark.parametrize(
    "request_",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"FETCH / HTTP/1.1\r\n\r\n",
        head("Content-Length: -1"),
        head("Content-Length: many"),
        head("Content-Length: 18", "Content-Length: 19"),
        head("Content-Length: 18", "Transfer-Encoding: chunked"),
        head("Transfer-Encoding: chunked") + b"zz\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(server, request_):
    with connected(server.address) as client:
        client.sendall(request_)
        assert said(heard(client))[0] == 400


def test_a_body_that_is_longer_than_announced(server):
    with connected(server.address) as client:
        client.sendall(head("Content-Length: 18") + GOOD + b"more")
        assert said(heard(client))[0] == 400


def test_requests_that_come_together_are_answered_in_order(server):
    bodies = [b'{"instances": [%d]}' % number for number in range(5)]
    with connected(server.address) as client:
        client.sendall(b"".join(head(f"Content-Length: {len(body)}") + body for body in bodies))
        answer = b""
        while answer.count(b"predictions") < 5:
            piece = client.recv(65536)
            assert piece
            answer += piece
    values = [part.split(b"]")[0] for part in answer.split(b'{"predictions":[')[1:]]
    assert values == [b"%.1f" % (number / 2 + 2) for number in range(5)]


def test_bodies_that_are_hard_to_read(server):
    for body in (
        b"[" * 100_000,
        b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"instances": [' + b'{"x": ' * 20_000,
        b'{"instances": [' + b"9" * 50_000 + b"]}",
        b'{"instances": [1e' + b"9" * 50_000 + b"]}",
        b'{"instances": [' + b"1," * 50_000 + b"]}",
        b'{"instances": [[' + b"[]," * 20_000 + b"1]]}",
        b'{"instances": ["' + b"\\u0041" * 10_000 + b"]}",
        b"{" + b'"a":1,' * 10_000 + b"}",
        b"\xff" * 100_000,
        bytes(100_000),
    ):
        answer = post(server, body)
        assert answer.status_code == 400, answer.text[:200]
        assert answer.json()["error"]


def test_a_client_that_goes_away_leaves_nothing(server):
    for sent in (head("Content-Length: 18") + GOOD[:5], head("Content-Length: 18") + GOOD):
        for _ in range(30):
            with connected(server.address) as client:
                client.sendall(sent)


# ---- how many --------------------------------------------------------------------------------------------


def test_connections_have_a_bound(folder):
    with (
        serving(folder, max_connections=3, request_timeout_seconds=3.0) as server,
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(connected(server.address)) for _ in range(5)]
        refused = [error(heard(client)) for client in clients[3:]]
        assert refused == [(429, "More than 3 connections are open")] * 2
        # Who came earlier is served; who says nothing loses the place in time.
        clients[0].sendall(head("Content-Length: 18") + GOOD)
        assert said(clients[0].recv(65536))[0] == 200
        wait_until(lambda: answered(server))


def test_requests_have_a_bound(folder, monkeypatch):
    with serving(folder, max_concurrent=2, max_queued=1) as server:
        held, leased = threading.Event(), server.models.leased
        begun = threading.Semaphore(0)

        def slow(*which):
            begun.release()
            assert held.wait(60)
            return leased(*which)

        monkeypatch.setattr(server.models, "leased", slow)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(post(server))) for _ in range(3)]
        for thread in threads[:2]:
            thread.start()
        assert begun.acquire(timeout=60)
        assert begun.acquire(timeout=60)
        threads[2].start()
        wait_until(lambda: server.admission.waiting)
        refused = post(server)
        assert (refused.status_code, refused.json()) == (
            429,
            {"error": "The queue of requests is full; currently 1 wait"},
        )
        held.set()
        for thread in threads:
            thread.join()
        assert [answer.json() for answer in answers] == [{"predictions": [3.0]}] * 3
        assert all(answer.status_code == 200 for answer in at_once([lambda: post(server)] * 2))


def admission(**limits):
    return Admission(Limits(**{"max_request_bytes": 100, "max_concurrent": 3, "max_queued": 10, **limits}))


async def enter(place, entered, name, until):
    async with place:
        entered.append(name)
        await until.wait()


def test_requests_that_are_answered_at_a_time_are_not_larger_than_one_may_be():
    async def run():
        door, entered = admission(), []
        ends = [asyncio.Event() for _ in range(4)]
        sizes = [90, 20, 5, 100]
        tasks = [
            asyncio.create_task(enter(door.place(size), entered, size, end))
            for size, end in zip(sizes, ends, strict=True)
        ]
        await asyncio.sleep(0)
        assert entered == [90]
        ends[0].set()
        await asyncio.sleep(0.01)
        assert entered == [90, 20, 5]  # in the order in which they came
        ends[1].set()
        await asyncio.sleep(0.01)
        assert entered == [90, 20, 5]
        ends[2].set()
        ends[3].set()
        await asyncio.gather(*tasks)
        assert entered == sizes

    asyncio.run(run())


def test_who_gives_up_waiting_leaves_the_place_to_others():
    async def run():
        door, entered = admission(max_concurrent=1), []
        ends = [asyncio.Event() for _ in range(3)]
        tasks = [asyncio.create_task(enter(door.place(1), entered, k, ends[k])) for k in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        ends[0].set()
        await asyncio.sleep(0.01)
        assert entered == [0, 2]
        ends[2].set()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with door.place(100):
            entered.append("last")
        # one that is called and cancelled in the same moment
        first = asyncio.create_task(enter(door.place(1), entered, "a", held := asyncio.Event()))
        second = asyncio.create_task(enter(door.place(1), entered, "b", asyncio.Event()))
        await asyncio.sleep(0)
        held.set()
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        async with door.place(100):
            entered.append("end")
        assert entered[-1] == "end"

    asyncio.run(run())


def test_bodies_that_have_arrived_have_a_bound_together():
    door = admission()
    with door.buffer() as first:
        first(300)
        with pytest.raises(ServingError) as refused, door.buffer() as second:
            second(101)
        assert refused.value.http_status == 429
        with door.buffer() as second:
            second(100)
    with door.buffer() as hold:
        hold(400)


# ---- long ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_a_gigabyte_takes_no_memory(folder, chunked):
    with serving(folder) as server:
        post(server)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size, piece = 2**30, bytes(2**20)

        def pieces():
            for _ in range(size // len(piece)):
                yield piece

        more = {} if chunked else {"headers": {"content-length": str(size)}}
        assert post(server, pieces(), **more).status_code == 413
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        assert grown < 4 * server.limits.max_request_bytes
        assert post(server).status_code == 200


@pytest.mark.slow
def test_thousands_of_connections(folder):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    try:
        with serving(folder, max_connections=1000, request_timeout_seconds=10.0) as server:
            with contextlib.ExitStack() as stack:
                parts = [b"", b"POST /", head("Content-Length: 18"), head("Content-Length: 18") + GOOD[:-1]]
                for number in range(4000):
                    client = stack.enter_context(connected(server.address))
                    with contextlib.suppress(ConnectionError):
                        client.sendall(parts[number % len(parts)])
                wait_until(lambda: answered(server))
            wait_until(lambda: answered(server))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def answered(server):
    try:
        return post(server).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_many_bad_clients_and_good_ones_at_once(folder):
    with serving(folder, request_timeout_seconds=2.0, max_request_bytes=MOST) as server:
        answered = [threading.Event() for _ in range(4)]  # for each good client: all its requests

        def bad(part):
            while not all(done.is_set() for done in answered):
                with contextlib.suppress(OSError), connected(server.address, 5) as client:
                    client.sendall(part)
                    client.recv(100)

        def good(number):
            try:
                for _ in range(20):
                    body = b'{"instances": [%d]}' % number
                    assert post(server, body).json() == {"predictions": [number / 2 + 2]}
            finally:
                answered[number].set()
            return "answered"

        parts = [
            b"x",
            head("Content-Length: 18") + b"[" * 18,
            head("Content-Length: 900000") + b"[" * 900_000,
        ]
        parts += [head("Content-Length: 2000000"), head("Content-Length: 18") + GOOD[:-1], b""]
        calls = [lambda part=part: bad(part) for part in parts] + [lambda k=k: good(k) for k in range(4)]
        assert at_once(calls)[len(parts) :] == ["answered"] * 4
