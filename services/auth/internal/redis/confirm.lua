-- Records that a browser has presented a generation.
-- KEYS[1]  hash of the family
-- ARGV     1 generation, 2 client digest
local v = redis.call('HMGET', KEYS[1], 'G', 'F', 'C')
if v[1] == ARGV[1] and v[3] == ARGV[2] and not v[2]:find('c') then
  redis.call('HSET', KEYS[1], 'F', 'c' .. v[2])
end
return 0
