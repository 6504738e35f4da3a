-- For wrk beside a campaign: what callers ask of a host, and counts of what they hear. Nothing is written per request; the
-- lines at the end are read by wrk.rs. What it hands over is in the environment, where the token shows in no list of
-- processes.

local token, keys = os.getenv("CHAOS_TOKEN"), os.getenv("CHAOS_KEYS")
-- Jobs that were acknowledged here, to be asked for.
local KNOWN = 256
local threads = {}

function setup(thread)
  table.insert(threads, thread)
  thread:set("thread_id", #threads)
end

function init(args)
  statuses, troubles, samples = {}, {}, {}
  sent, acknowledged, known = 0, 0, {}
  math.randomseed(thread_id)
end

local function read(path)
  return wrk.format("GET", path, { ["Authorization"] = "Bearer " .. token })
end

local function post(body)
  sent = sent + 1
  local key = string.format("%s-%d-%d", keys, thread_id, sent)
  local headers = {
    ["Authorization"] = "Bearer " .. token,
    ["Content-Type"] = "application/json",
    ["Idempotency-Key"] = key,
  }
  return wrk.format("POST", "/jobs", headers, body(key))
end

local function submit()
  return post(function(key)
    return string.format('{"type":"guest-money","payload":{"do":"ok","echo":{"key":"%s"}}}', key)
  end)
end

local function torn()
  return post(function() return '{"type":"guest-money","payload":{"do":' end)
end

local function refused()
  return post(function() return '{"type":"guest-money","payload":{"do":17}}' end)
end

local function list()
  return read("/jobs?limit=20")
end

local function job()
  if #known == 0 then return list() end
  return read("/jobs/" .. known[math.random(#known)])
end

local function unknown()
  return read("/jobs/00000000-0000-7000-8000-000000000000")
end

local function ready()
  return read("/health/ready")
end

local MIX = {
  submit, job, list, job, ready, job, unknown, job, list, torn,
  submit, job, list, job, ready, job, unknown, ready, list, refused,
}
local turn = 0

function request()
  turn = turn % #MIX + 1
  return MIX[turn]()
end

local function add(counts, what)
  counts[what] = (counts[what] or 0) + 1
end

-- STATUS TYPE RETRY: readiness says with its parts why it is none, all else is a problem.
local function trouble(status, headers, body)
  -- The last one: of a connection that broke, wrk keeps what it had read of the answer before.
  local what = body:match('.*"type":"(urn:[^"%s]+)"')
  if not what and body:find('"parts":', 1, true) and body:find('"status":"down"', 1, true) then what = "readiness" end
  local retry = "-"
  for name, value in pairs(headers) do
    if name:lower() == "retry-after" and value:match("^%d+$") then retry = "retry-after" end
  end
  what = string.format("%d %s %s", status, what or "untyped", retry)
  add(troubles, what)
  if not samples[what] then samples[what] = body:sub(1, 400):gsub("%s+", " ") end
end

function response(status, headers, body)
  add(statuses, tostring(status))
  if status == 202 then
    local id = body:match('"id":"([%x-]+)"')
    if id then
      known[acknowledged % KNOWN + 1] = id
      acknowledged = acknowledged + 1
    end
  elseif status >= 500 then
    trouble(status, headers, body)
  end
end

local function say(...)
  io.write("chaos-wrk ", string.format(...), "\n")
end

function done(summary, latency, requests)
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do say("status %s %d", status, count) end
    for what, count in pairs(thread:get("troubles")) do say("trouble %s %d", what, count) end
    for what, body in pairs(thread:get("samples")) do say("sample %s: %s", what, body) end
  end
  local e = summary.errors
  -- MICROSECONDS ANSWERS BROKEN REFUSED LATE: wrk hears of a connection that was refused when it writes to it.
  say("sums %d %d %d %d %d", summary.duration, summary.requests, e.read, e.connect + e.write, e.timeout)
end
