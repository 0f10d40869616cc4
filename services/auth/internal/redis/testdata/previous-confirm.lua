-- Notes that a generation has reached its browser. KEYS[1] the family's hash, ARGV 1 generation.
if redis.call('HGET', KEYS[1], 'g') == ARGV[1] then redis.call('HSET', KEYS[1], 'c', '1') end
return 0
