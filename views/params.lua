-- Params: the knobs that the recipe declares, as controls. Left and right change the one under the cursor, Enter runs
-- the recipe with them.

local view = { title = "Params", tab = "Run, Recipe", order = 3, column = "right", priority = 6, weight = 0.5, min_width = 36, min_height = 4,
  help = "What the recipe declares with param(). A changed value is bold; Enter runs the recipe with it." }

function view.draw()
  ui.note(ui.run("recipe"))
  local _, height = ui.size()
  local about = ui.run("about")
  if about ~= "" and height >= 6 then
    ui.text{ text = about, style = "dim" }
    ui.gap()
  end
  ui.params()
end

return view
