-- Claims a form (KEYS[1]) by writing ARGV[1] to its claim (KEYS[2]), for ARGV[2] milliseconds.
-- Returns the form, false if there is none, or 0 if it is claimed.
local sealed = redis.call('GET', KEYS[1])
if not sealed then return false end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return sealed
