"""Counts and times of requests in Prometheus' format, named as TensorFlow Serving names them."""

import contextlib
import re
import time

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = "text/plain"
BUCKETS = [10 * 1.8**power for power in range(33)]  # microseconds, as in TensorFlow Serving


class Monitoring:
    """The metrics of one server.

    Args:
      models: `Models`, whose names may be labels: requests for others are counted without a name.
    """

    def __init__(self, models):
        self._models, self._registry = models, CollectorRegistry()
        self._count = Counter(
            ":tensorflow:serving:request_count",
            "The total number of requests.",
            ["model_name", "status"],
            registry=self._registry,
        )
        self._latency = self._histogram("request_latency", "request", ["model_name", "API", "entrypoint"])
        self._runtime = self._histogram(
            "runtime_latency", "call of a signature", ["model_name", "API", "runtime"]
        )

    def request(self, name, api, entrypoint, code, seconds):
        """Counts a request.

        Args:
          name: name of the model.
          api: for example "predict".
          entrypoint: "REST" or "GRPC".
          code: name of the status code, "OK" for an answer.
          seconds: wall time it took.
        """
        name = name if name in self._models.names() else ""
        self._count.labels(name, code).inc()
        if code == "OK":
            self._latency.labels(name, api, entrypoint).observe(1e6 * seconds)

    @contextlib.contextmanager
    def call(self, name, api):
        """Takes down the wall time of the block, a call of a signature that answers."""
        began = time.perf_counter()
        yield
        self._runtime.labels(name, api, "TF2").observe(1e6 * (time.perf_counter() - began))

    def page(self):
        """All metrics as bytes of text."""
        text = generate_latest(self._registry).decode()
        # The client appends "_total" to the names of counters and writes when each began; TensorFlow Serving
        # does neither.
        text = re.sub(r"(request_count)_total", r"\1", text)
        lines = [line for line in text.splitlines(True) if "_created" not in line.partition("{")[0]]
        return "".join(lines).encode()

    def _histogram(self, name, what, labels):
        description = f"Distribution of wall time (in microseconds) for a {what}."
        return Histogram(
            f":tensorflow:serving:{name}", description, labels, registry=self._registry, buckets=BUCKETS
        )
