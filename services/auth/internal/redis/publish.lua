-- Appends revocations to the stream and drops old ones. KEYS[1] the stream, ARGV 1 now in ms ("" for the server's clock),
-- 2 how long (ms) entries are kept, then the session and the reason of each.
local oldest = string.format('%.0f', time(ARGV[1]) - tonumber(ARGV[2]))
for i = 3, #ARGV, 2 do
  redis.call('XADD', KEYS[1], 'MINID', '~', oldest, '*', 'sid', ARGV[i], 'reason', ARGV[i + 1])
end
return 0
