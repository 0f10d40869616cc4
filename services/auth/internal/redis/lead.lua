-- Acquires or extends the lease of the leader.
-- KEYS     1 the lease, 2 the epoch in which the stream was last completed
-- ARGV     1 the replica, 2 life of the lease (ms), 3 epoch ("" for that of the server)
-- Returns  {0} if another replica is the leader, {1, epoch} if the stream was not completed in
--          this epoch and may lack entries, otherwise {1, ''}
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local here = epoch(ARGV[3])
return {1, redis.call('GET', KEYS[2]) == here and '' or here}
