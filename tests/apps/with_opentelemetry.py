"""Spans and a metric that OpenTelemetry's daemon threads export to the log."""
import sys
import threading

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

spans = ConsoleSpanExporter(out=sys.stderr, formatter=lambda s: "span %s\n" % s.name)
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(spans, schedule_delay_millis=50))
tracer = provider.get_tracer(__name__)
metrics = ConsoleMetricExporter(out=sys.stderr, formatter=lambda m: "metric %s\n" % m.to_json(None))
reader = PeriodicExportingMetricReader(metrics, export_interval_millis=100)
counter = MeterProvider([reader]).get_meter(__name__).create_counter("counted_requests")


def application(environ, start_response):
    with tracer.start_as_current_span("of " + environ["PATH_INFO"]):
        counter.add(1)
        start_response("200 OK", [("Content-Type", "text/plain")])
        names = sorted(thread.name for thread in threading.enumerate() if thread.daemon)
        return ["\n".join(names).encode()]
