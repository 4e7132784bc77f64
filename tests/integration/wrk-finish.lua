-- Makes wrk's count exact: after so many seconds no connection sends another request, and what was sent is answered before wrk
-- ends. Without this wrk closes its connections wherever they are.
--   wrk -d(SECONDS + 2)s -s wrk-finish.lua URL -- SECONDS [MILLISECONDS between the requests of a connection]
local deadline, pause

function init(arguments)
  deadline = os.time() + tonumber(arguments[1])
  pause = tonumber(arguments[2] or 0)
end

function delay()
  if os.time() >= deadline then
    return 3600 * 1000
  end
  return pause
end
