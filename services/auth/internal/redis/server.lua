-- Prepended to the scripts that need the time or the epoch. Both come from the server, unless an
-- argument overrides them for tests or the embedded Redis.

-- time returns the Unix time in ms.
local function time(given)
  if given ~= '' then return tonumber(given) end
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

-- epoch returns the first 10 digits of the replication ID, which changes exactly when this server
-- starts or becomes a primary.
local function epoch(given)
  if given ~= '' then return given end
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x%x%x%x%x%x%x%x%x%x)')
end
