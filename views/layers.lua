-- Layers: the layers of the model as a tree of modules, with a bar for each error as soon as the layer is compressed.
-- The row under the cursor is told in full below the table; a module's row has the sums of the layers in it.

local view = { title = "Layers", tab = "Run, Layer", order = 1, column = "left", priority = 10, weight = 4, min_width = 50, min_height = 9,
  help = "One row a layer, in modules. The bar is the relative output error on a logarithmic scale from 0.001 % to "
    .. "100 %: solid the layer's own, shaded what arrives from the layers before. A module's row adds up parameters and "
    .. "bytes, and tells mean bits and the worst error in it. rtn is the output error of round to nearest in as many bytes. i tells of the method used on the layer." }

-- Errors are relative, so one scale fits every layer: 0.001 % is an empty bar, 100 % a full one, logarithmic. The solid
-- part is the layer's own error, the shade behind it what arrives from the layers before on top of that.
-- Hidden ones are there for :columns.
local columns = {
  { field = "state", title = " ", as = "state", width = 1 },
  { field = "name", title = "layer", width = 12, grow = 2 },
  { field = "kind", title = "kind", width = 8, drop = 13, hidden = 1 },
  { field = "shape", title = "shape", width = 12, drop = 6 },
  { field = "weights", title = "params", as = "count", width = 8, drop = 5 },
  { field = "bits", title = "bits", as = "bits", width = 5 },
  { field = "bytes_before", title = "before", as = "bytes", width = 8, drop = 8 },
  { field = "bytes", title = "bytes", as = "bytes", width = 8, drop = 4 },
  { field = "sqnr_db", title = "dB", width = 5, drop = 9 },
  { field = "weight_error", title = "weights", as = "percent", width = 9, drop = 12, hidden = 1 },
  { field = "output_error", title = "error", as = "percent", width = 9 },
  { field = "baseline", title = "rtn", as = "percent", width = 8, drop = 9 },
  { field = "output_error_held", title = "held out", as = "percent", width = 9, drop = 12, hidden = 1 },
  { field = "chained_error", title = "upstream", as = "percent", width = 9, drop = 7 },
  { field = "cosine", title = "cosine", width = 8, drop = 14, hidden = 1 },
  { field = "d_of_r", title = "D(R)", as = "percent", width = 8, drop = 14, hidden = 1 },
  { field = "damping", title = "damping", width = 8, drop = 14, hidden = 1 },
  { field = "seconds", title = "time", as = "seconds", width = 7, drop = 11, hidden = 1 },
  { field = "steps", title = "steps", width = 16, grow = 2, drop = 10, hidden = 1 },
  { field = "output_error", with = "chained_error", title = ".001…100%", as = "bar", width = 9, grow = 3,
    low = 1e-5, high = 1, drop = 2 },
}

local function detail(line)
  local function value(field, as) return ui.format(ui.value("tree", line, field), as) end
  local function text(field) return ui.value("tree", line, field) or "" end
  local module = text("kind") == "module"
  local steps, by_hand = text("steps"), ui.value("tree", line, "changed") == 1 and "by hand: " or ""
  local nothing = ui.value("tree", line, "finished") == 0 and "not compressed yet" or "left as it is"
  ui.row{
    { text = text("name"), style = "strong" },
    { text = module and string.format("%s, %d done", text("shape"), ui.value("tree", line, "finished")) or text("kind") },
    { text = steps ~= "" and by_hand .. steps or nothing, style = steps ~= "" and "accent" or "dim" },
  }
  ui.row{
    { text = module and "worst output error" or "output error", style = "dim" }, { text = value("output_error", "percent") },
    { text = "rtn", style = "dim" }, { text = value("baseline", "percent") },
    { text = "held out", style = "dim" }, { text = value("output_error_held", "percent") },
    { text = "with upstream", style = "dim" }, { text = value("chained_error", "percent") },
    { text = "weights", style = "dim" }, { text = value("weight_error", "percent") },
  }
end

local function note(count)
  local matching, marked, filter = ui.shown()
  local state = ui.run("state")
  local text = state ~= "idle" and state ~= "opening" and ui.run("finished") .. "/" .. count .. " done" or count .. " layers"
  if filter then text = matching .. " of " .. count .. " match " .. filter end
  if marked > 0 then text = text .. ", " .. marked .. " marked" end
  ui.note(text)
end

function view.draw()
  local count, _, line = ui.count("layers"), ui.cursor()
  local _, height = ui.size()
  note(count)
  if height >= 7 and line and line > 0 and line <= ui.count("tree") then
    ui.bottom(2)
    detail(line)
    ui.rest()
  end
  ui.layers{ columns = columns,
    empty = "No layers yet. They are listed when a model is open (:model PATH) or a run begins (Enter)." }
end

return view
