-- Appends revocations to the stream and trims old entries.
-- KEYS[1]  the stream
-- ARGV     1 now (ms; "" for the server's clock), 2 how long entries are kept (ms), then session ID
--          and reason of each revocation
local oldest = string.format('%.0f', time(ARGV[1]) - tonumber(ARGV[2]))
for i = 3, #ARGV, 2 do
  redis.call('XADD', KEYS[1], 'MINID', '~', oldest, '*', 'sid', ARGV[i], 'reason', ARGV[i + 1])
end
return 0
