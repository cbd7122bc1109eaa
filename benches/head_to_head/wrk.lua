-- Sends the bytes of a file as each request, and prints the result as one line of JSON.
function init(args)
    local file = assert(io.open(args[1], "rb"))
    local bytes = file:read("*a")
    file:close()
    request = function() return bytes end
end

function done(summary, latency)
    local errors = summary.errors
    print(string.format(
        '{"requests": %d, "seconds": %f, "errors": %d, "hung": %d, "reconnects": %d, ' ..
        '"p50_us": %f, "p99_us": %f, "p999_us": %f}',
        summary.requests, summary.duration / 1e6, errors.connect + errors.status + errors.write,
        errors.timeout, errors.read, latency:percentile(50), latency:percentile(99),
        latency:percentile(99.9)))
end
