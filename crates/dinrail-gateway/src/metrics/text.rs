//! The names and labels under which figures are shown. They follow the conventions of Prometheus: base units, `_total` for
//! what only grows. Names and labels stay as they are, since dashboards and alerts are made of them.

use std::sync::Arc;

use dinrail::proto::FunctionCode;
use dinrail::server::{DURATION_BOUNDS, LineError, Measured, Outcome};
use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

type Named = (Arc<str>, Measured);

/// Everything, in the text format.
pub(super) fn write(servers: &[Named]) -> String {
    let mut build = Metric::default();
    build.set_label(vec![label("version", env!("CARGO_PKG_VERSION"))]);
    build.set_gauge(gauge(1.0));
    let families = [
        family("dinrail_build_info", "The version of dinrail.", MetricType::GAUGE, vec![build]),
        gauges("dinrail_server_up", "Whether the server listens.", servers, |measured| measured.listening.into()),
        gauges("dinrail_connections", "Connections that are open.", servers, |measured| measured.open),
        counters("dinrail_connections_accepted_total", "Connections accepted.", servers, |measured| measured.accepted),
        counters(
            "dinrail_connections_refused_total",
            "Connections closed at once: not allowed, or one too many.",
            servers,
            |measured| measured.refused,
        ),
        counters(
            "dinrail_connections_evicted_total",
            "Connections closed because they were idle, or to make room for another.",
            servers,
            |measured| measured.evicted,
        ),
        counters("dinrail_tls_handshakes_failed_total", "TLS handshakes that failed.", servers, |measured| {
            measured.handshakes_failed
        }),
        counters("dinrail_received_bytes_total", "Bytes received.", servers, |measured| measured.received),
        counters("dinrail_sent_bytes_total", "Bytes of replies sent.", servers, |measured| measured.sent),
        line_errors(servers),
        requests(servers),
        durations(servers),
    ];
    // A family without a sample is no family: there may be no server, or no request yet.
    let there: Vec<_> = families.into_iter().filter(|family| !family.get_metric().is_empty()).collect();
    TextEncoder::new().encode_to_string(&there).expect("every family has a name, a type and a sample")
}

fn requests(servers: &[Named]) -> MetricFamily {
    let mut samples = Vec::new();
    for (name, measured) in servers {
        let mut of_others: Vec<(Outcome, u64)> = Vec::new();
        for &(function, outcome, count) in &measured.requests {
            match function_label(function, outcome) {
                Some(function) => {
                    samples.push(counter(
                        vec![label("server", name), label("function", &function), result(outcome)],
                        count,
                    ));
                }
                None => match of_others.iter_mut().find(|(other, _)| *other == outcome) {
                    Some((_, sum)) => *sum += count,
                    None => of_others.push((outcome, count)),
                },
            }
        }
        for (outcome, count) in of_others {
            samples.push(counter(vec![label("server", name), label("function", "other"), result(outcome)], count));
        }
    }
    let help = "Requests by function and result: ok, the name of an exception, or unanswered.";
    family("dinrail_requests_total", help, MetricType::COUNTER, samples)
}

/// A function's name in the specification, or its code. `None` for a code that no service seems to know: somebody who tries
/// all of them makes no series of each.
fn function_label(function: u8, outcome: Outcome) -> Option<String> {
    use dinrail::ExceptionCode::{GatewayPathUnavailable, GatewayTargetFailedToRespond, IllegalFunction};
    let code = FunctionCode::new(function)?;
    match (code.name(), outcome) {
        (Some(name), _) => Some(snake(name)),
        (None, Outcome::Unanswered) => None,
        (None, Outcome::Exception(IllegalFunction | GatewayPathUnavailable | GatewayTargetFailedToRespond)) => None,
        (None, _) => Some(function.to_string()),
    }
}

fn durations(servers: &[Named]) -> MetricFamily {
    let sample = |(name, measured): &Named| {
        let mut histogram = Histogram::default();
        let mut sum = 0;
        let mut buckets = Vec::new();
        for (count, bound) in measured.durations.iter().zip(DURATION_BOUNDS) {
            sum += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound as f64 / 1e6);
            bucket.set_cumulative_count(sum);
            buckets.push(bucket);
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(measured.durations.iter().sum());
        histogram.set_sample_sum(measured.duration_sum.as_secs_f64());
        let mut metric = of_server(name);
        metric.set_histogram(histogram);
        metric
    };
    let help = "How long requests took, from when they were read until their replies were ready to be sent.";
    let samples = servers.iter().map(sample).collect();
    family("dinrail_request_duration_seconds", help, MetricType::HISTOGRAM, samples)
}

fn line_errors(servers: &[Named]) -> MetricFamily {
    let samples = servers.iter().flat_map(|(name, measured)| {
        let sample = |&(kind, count): &(LineError, u64)| {
            counter(vec![label("server", name), label("kind", &format!("{kind:?}").to_lowercase())], count)
        };
        measured.line_errors.iter().map(sample)
    });
    let help =
        "Errors in what came: noise (no frame with a right checksum), broken, protocol, length, cut, overrun, gap.";
    family("dinrail_line_errors_total", help, MetricType::COUNTER, samples.collect())
}

fn result(outcome: Outcome) -> LabelPair {
    let name = match outcome {
        Outcome::Done => "ok".to_owned(),
        Outcome::Exception(code) => snake(code.description()),
        Outcome::Unanswered => "unanswered".to_owned(),
        _ => "other_exception".to_owned(),
    };
    label("result", &name)
}

/// "Read/Write Multiple Registers" as "read_write_multiple_registers".
fn snake(name: &str) -> String {
    name.to_lowercase().replace([' ', '/'], "_")
}

fn gauges(name: &str, help: &str, servers: &[Named], of: impl Fn(&Measured) -> u64) -> MetricFamily {
    let sample = |(name, measured): &Named| {
        let mut metric = of_server(name);
        metric.set_gauge(gauge(of(measured) as f64));
        metric
    };
    family(name, help, MetricType::GAUGE, servers.iter().map(sample).collect())
}

fn counters(name: &str, help: &str, servers: &[Named], of: impl Fn(&Measured) -> u64) -> MetricFamily {
    let sample = |(name, measured): &Named| counter(vec![label("server", name)], of(measured));
    family(name, help, MetricType::COUNTER, servers.iter().map(sample).collect())
}

fn family(name: &str, help: &str, kind: MetricType, samples: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(samples);
    family
}

fn counter(labels: Vec<LabelPair>, count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = Metric::default();
    metric.set_label(labels);
    metric.set_counter(counter);
    metric
}

fn of_server(name: &str) -> Metric {
    let mut metric = Metric::default();
    metric.set_label(vec![label("server", name)]);
    metric
}

fn gauge(value: f64) -> Gauge {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    gauge
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}
