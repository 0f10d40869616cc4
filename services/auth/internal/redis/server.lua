-- Stands before every script that asks for the time or the epoch. Both are the server's own
-- unless an argument gives them, as the embedded Redis and tests do.

-- time returns now in ms.
local function time(given)
  if given ~= '' then return tonumber(given) end
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

-- epoch names the time since this server last became a primary or was started: a primary takes a
-- new replication id then, and nothing else changes it.
local function epoch(given)
  if given ~= '' then return given end
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x%x%x%x%x%x%x%x%x%x)')
end
