-- For wrk: submits whose order ids are distinct, and a last line that xtask reads. What xtask hands over is in the
-- environment, where the token shows in no list of processes.

local threads = 0

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function init(args)
  head = os.getenv("BENCH_HEAD") .. id .. "-"
  tail = os.getenv("BENCH_TAIL")
  headers = {
    ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN"),
    ["Content-Type"] = "application/json",
  }
  sent = 0
end

function request()
  sent = sent + 1
  return wrk.format("POST", "/jobs", headers, head .. sent .. tail)
end

-- bench MICROSECONDS ANSWERS REFUSED BROKEN LATE
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("bench %d %d %d %d %d\n", summary.duration, summary.requests, e.status,
    e.connect + e.read + e.write, e.timeout))
end
