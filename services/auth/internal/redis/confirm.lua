-- Notes that a generation has reached its browser. KEYS[1] the family's hash, ARGV 1 generation.
local v = redis.call('HMGET', KEYS[1], 'G', 'F', 'g')
if v[3] then -- written by the release before: see use.lua
  if v[3] == ARGV[1] then redis.call('HSET', KEYS[1], 'c', '1') end
elseif v[1] == ARGV[1] and not v[2]:find('c') then
  redis.call('HSET', KEYS[1], 'F', 'c' .. v[2])
end
return 0
