-- Run: how far the job is, the errors so far as a strip of shades, the figures of the newest run before and after,
-- and what was said.

local view = { title = "Run", order = 2, column = "left", priority = 8, weight = 2, min_width = 50, min_height = 6,
  help = "How far the run is, a shade a layer for its error, the newest layers with their own error and the one with what "
    .. "arrives from upstream, the figures before and after, and what was said. p pauses, . goes layer by layer, c gives "
    .. "the layer it waits before other steps; v in the log chooses its level." }

local function progress()
  local done, of = ui.run("done"), ui.run("of")
  local text = ui.run("phase")
  if of > 0 then text = text .. " " .. done .. "/" .. of end
  local layer = ui.run("layer")
  if layer then text = text .. "  " .. (ui.value("layers", layer, "name") or "") end
  local loss = ui.run("loss")
  if loss then text = text .. "  loss " .. ui.format(loss, "number") end
  local eta = ui.run("eta")
  if eta then text = text .. "  " .. ui.format(eta, "seconds") .. " left" end
  ui.progress{ done = done, of = of, text = text, style = "accent" }
end

-- "97.22 % [94.9, 98.5]"
local function metric(run, value, low, high)
  local v = ui.value("runs", run, value)
  if not v then return "–" end
  local unit = ui.value("runs", run, "metric") == "top1" and " %" or ""
  local text = string.format("%.2f%s", v, unit)
  local l, h = ui.value("runs", run, low), ui.value("runs", run, high)
  if l and h then text = text .. string.format("  [%.1f, %.1f]", l, h) end
  return text
end

local function figure(name, before, after, style)
  ui.row{ { text = name, width = 11, style = "dim" }, { text = before, width = 22 }, { text = "→", style = "dim" },
          { text = after, style = style } }
end

local function closing(run)
  local function value(field, as) return ui.format(ui.value("runs", run, field), as) end
  local names = { top1 = "top-1", perplexity = "perplexity", mse = "mse" }
  local word = ui.value("runs", run, "metric") or ""
  figure(names[word] or "metric", metric(run, "before", "before_low", "before_high"),
         metric(run, "value", "low", "high"), "strong")
  local ratio = ui.value("runs", run, "ratio")
  figure("bytes", value("bytes_before", "bytes"), value("bytes", "bytes")
         .. (ratio and "  " .. ui.format(ratio, "ratio") .. " smaller" or ""), "strong")
  local kl, flips, samples = ui.value("runs", run, "kl"), ui.value("runs", run, "flips"), ui.value("runs", run, "samples")
  ui.row{
    { text = "bits", width = 11, style = "dim" }, { text = value("bits", "bits") },
    { text = " KL", style = "dim" }, { text = kl and string.format("%.4f nat", kl) or "–" },
    { text = " flips", style = "dim" },
    { text = flips and flips >= 0 and flips .. (samples and samples > 0 and " of " .. samples or "") or "–" },
    { text = " peak", style = "dim" }, { text = value("peak_bytes", "bytes") },
  }
end

-- Memory held for data, and what the run waits for.
local function memory()
  ui.row{
    { text = "memory", width = 11, style = "dim" }, { text = ui.format(ui.run("memory"), "bytes") },
    { text = " peak", style = "dim" }, { text = ui.format(ui.run("peak"), "bytes") },
    { text = ui.run("held") and "  waits before " .. ui.value("layers", ui.run("held"), "name") or "", style = "warn" },
  }
end

-- The newest finished layers, the last one below.
local function newest_layers(rows)
  local list, at = {}, ui.run("layer") or ui.count("layers")
  while at >= 1 and #list < rows do
    if ui.value("layers", at, "state") == 2 then table.insert(list, 1, at) end
    at = at - 1
  end
  if #list == 0 then return end
  local function cells(name, own, upstream, rtn, bits, time, steps, style)
    ui.row{ { text = name, width = 18, align = "tail", style = style }, { text = own, width = 9, align = "right", style = style },
      { text = upstream, width = 9, align = "right", style = style }, { text = rtn, width = 8, align = "right", style = style },
      { text = bits, width = 6, align = "right", style = style },
      { text = time, width = 8, align = "right", style = style }, { text = steps, style = "dim" } }
  end
  cells("layer", "error", "upstream", "rtn", "bits", "time", "", "dim")
  for _, i in ipairs(list) do
    local function value(field, as) return ui.format(ui.value("layers", i, field), as) end
    local by_hand = ui.value("layers", i, "changed") == 1 and "by hand: " or ""
    cells(ui.value("layers", i, "name"), value("output_error", "percent"), value("chained_error", "percent"),
      value("baseline", "percent"),
      value("bits", "bits"), value("seconds", "seconds"), by_hand .. ui.value("layers", i, "steps"))
  end
end

-- One shaded cell a layer, darker for more error, on the scale of the bars in the layers view.
local function errors()
  ui.top(1)
  ui.left(12)
  ui.text{ text = "errors", style = "dim" }
  ui.rest()
  ui.strip{ source = "layers", field = "output_error", low = 1e-5, high = 1 }
  ui.rest()
end

function view.draw()
  local state, runs = ui.run("state"), ui.count("runs")
  local _, height = ui.size()
  local newest = runs > 0 and ui.value("runs", runs, "state") or nil
  if state ~= "idle" then
    ui.note(state .. " " .. ui.format(ui.run("elapsed"), "seconds"))
    progress()
    height = height - 1
  elseif newest then
    ui.note("run " .. runs .. " " .. newest .. " " .. ui.format(ui.value("runs", runs, "seconds"), "seconds"))
  end
  if ui.count("layers") > 0 and runs > 0 and height >= 6 then
    errors()
    height = height - 1
  end
  if state ~= "idle" and state ~= "opening" and height >= 5 then
    memory()
    height = height - 1
    if height >= 8 then newest_layers(height // 2 - 1) end
  end
  if newest and height >= 5 and (ui.value("runs", runs, "value") or ui.value("runs", runs, "before")) then closing(runs) end
  if ui.run("level") ~= "all" then ui.row{ { text = "log: " .. ui.run("level") .. " only, v shows more", style = "dim" } } end
  ui.log()
end

return view
