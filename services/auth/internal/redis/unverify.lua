-- Makes the next use of a family wait until its record has been read. KEYS[1] its hash, ARGV 1 a mark that was never used
-- before: whoever has read the record already reads it again.
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'V', ARGV[1]) end
return 0
