-- Sensitivity: layers down, options across, the measured loss of each as a colour. Choose an option for each layer, by
-- hand, by a threshold or by the allocator, and send the choices to the recipe.

local view = { title = "Sensitivity", tab = "Sensitivity", order = 10, column = "left", priority = 10, weight = 1,
  min_width = 40, min_height = 8,
  help = "A cell is what the network loses when one layer alone is compressed by one option; darker is less in viridis. "
    .. "m measures a table of this model, Space chooses an option (✓), t takes each layer's smallest option under a value, "
    .. "b asks the exact allocator for a budget of bits a weight, w sends the choices to the recipe." }

function view.draw()
  ui.heat()
end

return view
