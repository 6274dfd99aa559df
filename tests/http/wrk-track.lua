-- One track message a request, each with its own messageId:
--   wrk -t2 -c64 -d10s --latency -s tests/http/wrk-track.lua http://127.0.0.1:8080
-- PERENNIAL_BATCH=100 sends so many messages a request to /v1/batch instead.
local batch = tonumber(os.getenv("PERENNIAL_BATCH") or "0")
local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

local run = os.time()
local sent = 0
local function message()
  sent = sent + 1
  return string.format('{"type":"track","event":"Product Viewed","messageId":"wrk-%d-%d-%d","userId":"user-%d","timestamp":"2024-05-01T10:00:00.000Z",' ..
    '"integrations":{},"context":{"library":{"name":"@segment/analytics-node","version":"3.1.0"}},' ..
    '"properties":{"product_id":"sku-%d","name":"Blue cotton shirt","category":"Shirts","price":19.99,"currency":"EUR"}}',
    run, number, sent, sent % 5000, sent % 300)
end

local headers = { ["Content-Type"] = "application/json" }
function request()
  if batch == 0 then return wrk.format("POST", "/v1/track", headers, message()) end
  local messages = {}
  for i = 1, batch do messages[i] = message() end
  return wrk.format("POST", "/v1/batch", headers, '{"batch":[' .. table.concat(messages, ",") .. ']}')
end

function done(summary, latency)
  io.write(string.format("not 2xx: %d, connect %d, read %d, timeout %d\n", summary.errors.status, summary.errors.connect, summary.errors.read, summary.errors.timeout))
end
