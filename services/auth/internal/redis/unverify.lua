-- Makes the next use of a family unverified.
-- KEYS[1]  hash of the family
-- ARGV     1 a unique mark, so that callers that have read the record already read it again
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'V', ARGV[1]) end
return 0
