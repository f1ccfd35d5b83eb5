-- Makes wrk end with one line of JSON, exact where its own report is rounded.
function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"requests":%d,"seconds":%.6f,"bytes":%d,"p50_us":%d,"failed":%d}\n',
        summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
