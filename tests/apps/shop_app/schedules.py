"""Two schedules, one busier than the other."""

from schedules import every

every("1s", "shop.tidied", name="shop.tidy", payload={"seconds": 0.005})
every("5s", "reports.built", name="reports.small", payload={"seconds": 0.05})
