-- Makes the next use of a family wait until its record has been read. KEYS[1] its hash.
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'V', '') end
return 0
