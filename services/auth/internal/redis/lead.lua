-- Makes one replica the leader for a while. KEYS[1] the lease, KEYS[2] the epoch in which the stream was completed,
-- ARGV 1 who asks, 2 how long (ms) the lease lasts, 3 epoch ("" for the server's own).
-- Answers {0} for a replica that is not the leader, {1, epoch} for the leader of a stream
-- that may have lost entries since that epoch began, otherwise {1, ''}.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local here = epoch(ARGV[3])
return {1, redis.call('GET', KEYS[2]) == here and '' or here}
