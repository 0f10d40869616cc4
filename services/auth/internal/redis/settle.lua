-- Ends the claim (KEYS[2]) on a form (KEYS[1]) if it is still ARGV[1], and removes the form if ARGV[2] is 1.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[2] == '1' then redis.call('DEL', KEYS[1]) end
return 1
