-- Claims a form.
-- KEYS     1 the form, 2 its claim
-- ARGV     1 ID of the claim, 2 life of the claim (ms)
-- Returns  the form, false if there is none, or 0 if another claim holds it
local sealed = redis.call('GET', KEYS[1])
if not sealed then return false end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return sealed
