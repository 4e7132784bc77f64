-- Makes wrk's count exact: with one connection a thread, a thread stops after a complete response, so that no request is in
-- flight at the end. Without this wrk closes its connections wherever they are.
--   wrk -tN -cN -d(SECONDS + 2)s -s wrk-finish.lua URL -- SECONDS [MILLISECONDS between requests]
local deadline

function init(arguments)
  deadline = os.time() + tonumber(arguments[1])
  local pause = tonumber(arguments[2] or 0)
  if pause > 0 then
    delay = function() return pause end
  end
end

function response()
  if os.time() >= deadline then
    wrk.thread:stop()
  end
end
