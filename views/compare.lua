-- Compare: the base and the run under the history's cursor, layer by layer - the same figures as vise compare.

local view = { title = "Compare", tab = "History", order = 61, column = "left", priority = 5, weight = 2,
  min_width = 60, min_height = 9,
  help = "Two runs layer by layer: A is the base (b in the list), without one the run of this model before, B the run under the list's cursor. Shades say how much "
    .. "a figure differs - a few per cent, a quarter, twice, more - and the arrow which way; the last rows are the sums "
    .. "and the metric with the interval of the difference, the two runs taken as independent." }

function view.draw()
  local base = ui.past("base")
  ui.note(base ~= "" and "A is run " .. base or "A is the run before; b in the list chooses")
  ui.compare()
end

return view
