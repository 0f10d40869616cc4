-- Ends a claim on a form.
-- KEYS     1 the form, 2 its claim
-- ARGV     1 ID of the claim, 2 "1" to delete the form
-- Returns  1, or 0 if the claim has another ID or has expired
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[2] == '1' then redis.call('DEL', KEYS[1]) end
return 1
