-- History: every recorded run and those of this session in a table - filtered, sorted, pinned, noted; a run opens with
-- its recipe and params, is done again, or is written to a file.

local view = { title = "History", tab = "History", order = 60, column = "left", priority = 10, weight = 3,
  min_width = 60, min_height = 8,
  help = "Every run, the newest first. f filters, s sorts, p pins, e keeps a line about a run; Enter opens its recipe "
    .. "with its params, r does the run again and compares the bytes, x writes its recipe or a report to a file. "
    .. "b makes a run the base that others are compared with." }

local columns = {
  { field = "marks", title = "  ", width = 2 },
  { field = "name", title = "run", width = 5, align = "right" },
  { field = "when", title = "when", width = 16, drop = 7 },
  { field = "recipe", title = "recipe", width = 9, grow = 1 },
  { field = "params", title = "params", width = 15, grow = 3 },
  { field = "model", title = "model", width = 10, grow = 1, drop = 9 },
  { field = "bytes", title = "bytes", as = "bytes", width = 8 },
  { field = "bits", title = "bits", as = "bits", width = 5, drop = 4 },
  { field = "metric", title = "metric", width = 10, drop = 8 },
  { field = "value", title = "value", width = 6 },
  { field = "low", title = "low", width = 6, drop = 5 },
  { field = "high", title = "high", width = 6, drop = 5 },
  { field = "kl", title = "KL", width = 9, drop = 2 },
  { field = "seconds", title = "time", as = "seconds", width = 7, drop = 6 },
  { field = "state", title = "state", width = 8, drop = 1 },
  { field = "note", title = "note", width = 10, grow = 2, drop = 10 },
}

local function note()
  local text = ui.count("past") .. " of " .. string.format("%d", ui.past("total"))
  if ui.past("filter") ~= "" then text = '"' .. ui.past("filter") .. '" ' .. text end
  if ui.past("sort") ~= "number" or ui.past("reverse") > 0 then
    text = text .. ", by " .. ui.past("sort") .. (ui.past("reverse") > 0 and " reversed" or "")
  end
  if ui.past("total") > ui.past("limit") then text = text .. ", O reads older ones" end
  ui.note(text)
end

-- "97.22 [95.0, 98.5]"
local function metric(row, value, low, high)
  local v = ui.value("past", row, value)
  if not v then return "–" end
  local text, l, h = string.format("%.4g", v), ui.value("past", row, low), ui.value("past", row, high)
  return l and h and text .. string.format(" [%.4g, %.4g]", l, h) or text
end

local function detail(row)
  local function value(field, as) return ui.format(ui.value("past", row, field), as) end
  ui.row{
    { text = "run " .. ui.value("past", row, "name"), style = "strong" },
    { text = ui.value("past", row, "recipe") },
    { text = ui.value("past", row, "params"), style = "accent" },
    { text = "on " .. ui.value("past", row, "model"), style = "dim" },
    { text = ui.value("past", row, "when"), style = "dim" },
  }
  ui.row{
    { text = ui.value("past", row, "metric"), style = "dim" }, { text = metric(row, "value", "low", "high") },
    { text = "KL", style = "dim" }, { text = metric(row, "kl", "kl_low", "kl_high") },
    { text = "in", style = "dim" }, { text = value("bytes", "bytes") },
    { text = "before", style = "dim" }, { text = metric(row, "before", "before_low", "before_high") },
  }
  local note, message = ui.value("past", row, "note"), ui.value("past", row, "message")
  local text = note ~= "" and note or message ~= ui.value("past", row, "state") and message or ""
  ui.row{ { text = ui.value("past", row, "state"), style = "dim" }, { text = text, style = note ~= "" and "strong" or "normal" } }
end

function view.draw()
  note()
  local row, count = ui.cursor(), ui.count("past")
  local _, height = ui.size()
  if ui.past("error") ~= "" then ui.text{ text = ui.past("error"), style = "bad" } end
  if height >= 9 and row > 0 and row <= count then
    ui.bottom(3)
    detail(row)
    ui.rest()
  end
  local filtered = ui.past("filter") ~= ""
  ui.table{ source = "past", columns = columns,
    empty = ui.past("loading") > 0 and "Reading the history..." or filtered and "No run matches; f changes the filter."
      or "No runs yet: each run is kept here." }
end

return view
