-- Presents a refresh token. decide.go is the executable specification.
-- KEYS[1]  hash of the family
-- ARGV     1 generation, 2 client digest, 3 key ID of the presented token, 4 presenter digest,
--          5 key ID of a successor, 6 overlap (ms), 7 minimum interval (ms), 8 idle time (ms),
--          9 now (ms) and 10 epoch ("" for those of the server, see server.lua),
--          11 doubt that the caller has settled, 12 roles of the record (with 11),
--          13 challenge (ms; "" if the client supports none), 14 life of a challenge (ms)
-- Fields   G generation, T time of the last rotation (ms), F flags (c confirmed, l pardon used in
--          the previous generation, n pardon used in this one), D presenter digest of the last
--          rotation, V epoch of the last verification or mark of unverify.lua, S subject, O roles,
--          C client digest, K key ID of generation G, A authentication time (ms),
--          E absolute end (ms), r reason of revocation; only with a provider: I its ID,
--          L authentication context class
-- Returns  {outcome}, {'revoked', r}, {'missing', now}, {'unverified', doubt, now}, {'stale', now}
--          or {outcome, G, K, S, O, A, E}, with a provider followed by I, L
local key = KEYS[1]
local p, client, kid, presenter, next_kid = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local overlap, min_interval, idle = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local now, here = time(ARGV[9]), epoch(ARGV[10])

local v = redis.call('HMGET', key, 'G', 'T', 'F', 'D', 'V', 'S', 'O', 'C', 'K', 'A', 'E', 'r', 'I', 'L')
if v[12] then return {'revoked', v[12]} end
if not v[1] then return {'missing', string.format('%.0f', now)} end
local g, t, f, d = tonumber(v[1]), tonumber(v[2]), v[3], v[4]
local c, l, n = f:find('c') ~= nil, f:find('l') ~= nil, f:find('n') ~= nil
local subject, roles, k, authenticated, ends = v[6], v[7], v[9], v[10], tonumber(v[11])

if now >= ends then return {'ended'} end
if client ~= v[8] then return {'foreign'} end
local doubt = here .. '.' .. v[5]
if ARGV[11] ~= doubt and (v[5] ~= here or p > g) then return {'unverified', doubt, string.format('%.0f', now)} end
if ARGV[11] == doubt then
  roles = ARGV[12]
  redis.call('HSET', key, 'V', here, 'O', roles)
end

local function flags(c, l, n)
  return (c and 'c' or '') .. (l and 'l' or '') .. (n and 'n' or '')
end

local function granted(outcome)
  redis.call('PEXPIRE', key, math.min(idle, ends - now))
  local answer = {outcome, string.format('%.0f', g), k, subject, roles, authenticated, v[11]}
  if v[13] then answer[8], answer[9] = v[13], v[14] end
  return answer
end

local function reused()
  local age = ARGV[13] == '' and 0 or now - tonumber(ARGV[13])
  if age < 0 or age > tonumber(ARGV[14]) then return {'stale', string.format('%.0f', now)} end
  redis.call('HSET', key, 'r', 'reuse')
  return {'reused'}
end

local function present()
  if now - t < min_interval then
    redis.call('HSET', key, 'G', string.format('%.0f', g), 'K', k, 'F', flags(true, l, n))
    return 'current'
  end
  g, k = g + 1, next_kid
  redis.call('HSET', key, 'G', string.format('%.0f', g), 'T', string.format('%.0f', now),
    'F', flags(false, l and n, false), 'D', presenter, 'K', k)
  return 'rotated'
end

if p > g then
  g, k = p, kid
  present()
  return granted('healed')
end
if p == g then return granted(present()) end
if p < g - 1 then return reused() end

local same = presenter == d
if now - t <= overlap then return granted('concurrent') end
if not c and same then return granted('retried') end
if (not c or same) and (n or not l) then
  redis.call('HSET', key, 'F', flags(c, true, true))
  return granted('pardoned')
end
return reused()
