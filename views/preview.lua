-- Preview: a look into what the cursor of the Start tab is on, without opening it.

local view = { title = "Preview", tab = "Start", order = 0.4, column = "right", priority = 6, weight = 1, min_width = 32,
  min_height = 6, help = "What a model, a dataset, a recipe or a file holds." }

function view.draw()
  ui.preview()
end

return view
