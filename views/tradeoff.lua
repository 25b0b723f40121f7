-- Trade-off: size against what is lost, a point for each run of this model; the selected run beside the base, and what
-- the allocator makes of a budget.

local view = { title = "Trade-off", tab = "Trade-off", order = 20, column = "left", priority = 10, weight = 1,
  min_width = 40, min_height = 10,
  help = "Each run that measured the model is a point, with its 95 % interval; the line is the front: what no other run "
    .. "beats in both. hjkl select the nearest point in a direction, arrows move, + - zoom, 0 shows all, b makes a point "
    .. "the base of comparison, Enter opens a run's recipe with its params. < > move a budget: with a sensitivity table "
    .. "of the model the exact allocator says which bits each layer gets, and w writes them into the recipe." }

local function note(width)
  local text = string.format("%d points, %d on the front", ui.trade("count"), ui.trade("front"))
  local model, filter = ui.trade("model"), ui.trade("filter")
  if filter ~= "" then text = '"' .. filter .. '" ' .. text end
  if model ~= "" and #text + #model < width - 24 then text = model .. ", " .. text end
  ui.note(text)
end

-- The lines of the selected run that have room: all in their order, else what differs in the params, then the figures.
local function chosen(rows)
  local order, later = {}, {}
  local count = ui.count("selected")
  local function value(i, field) return ui.value("selected", i, field) end
  if count <= rows then
    for i = 1, count do order[i] = i end
    return order
  end
  for i = 1, count do
    if value(i, "param") > 0 and value(i, "differs") > 0 and #order < rows - 3 then order[#order + 1] = i
    elseif value(i, "param") == 0 then later[#later + 1] = i end
  end
  for _, i in ipairs(later) do order[#order + 1] = i end
  return order
end

-- What differs stands out; the rest is told quietly.
local function details(width, rows)
  local selected, base = ui.trade("selected"), ui.trade("base")
  if selected == "" then return end
  ui.row{ { text = "run " .. selected, style = "strong" },
          { text = base ~= "" and "against run " .. base or ui.trade("when"), style = base ~= "" and "warn" or "dim" } }
  rows = rows - 1
  if ui.trade("note") ~= "" then
    ui.row{ { text = ui.trade("note"), style = "accent", width = width } }
    rows = rows - 1
  end
  local narrow = width < 60
  for _, i in ipairs(chosen(rows)) do
    if rows <= 0 then return end
    local function value(field) return ui.value("selected", i, field) or "" end
    local differs = value("differs") > 0
    local here = { text = value("here"), width = narrow and width - 11 or 24, style = differs and "strong" or "normal" }
    local name = { text = value("name"), width = 10, style = "dim" }
    if base == "" or not differs then
      ui.row{ name, here }
    elseif value("param") > 0 then
      local function said(text) return text ~= "" and text or "–" end
      ui.row{ name, { text = said(value("base")) .. " → " .. said(value("here")), style = "strong" } }
    elseif narrow then
      ui.row{ name, here }
      rows = rows - 1
      if rows > 0 then ui.row{ { text = "", width = 10 }, { text = value("difference"), style = "accent" } } end
    elseif width < 90 then
      ui.row{ name, here, { text = value("difference"), style = "accent" } }
    else
      ui.row{ name, here, { text = value("base"), width = 24, style = "dim" }, { text = value("difference"), style = "accent" } }
    end
    rows = rows - 1
  end
end

function view.draw()
  local width, height = ui.size()
  note(width)
  if ui.trade("budget") then
    ui.bottom(height >= 30 and 5 or 3)
    ui.trade_budget()
    ui.rest()
  end
  width, height = ui.size()
  if width >= 100 then
    ui.right(40)
    details(40, height)
    ui.rest()
    ui.right(1)
    ui.rest()
  elseif height >= 15 then
    local rows = height >= 24 and 8 or 6
    ui.bottom(rows)
    details(width, rows)
    ui.rest()
  end
  ui.trade_chart()
end

return view
