"""Plots of the house: an untidy room, the dark, the kitchen, the attic."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot

CORNERS = "床底下 枕头下面 柜子后面 窗帘后面 书架最上面 门背后 被子里 抽屉最里面 沙发缝里 外套口袋里 桌子底下 鞋架后面"


@plot("乱糟糟的房间")
def messy_room(w: World) -> None:
    """Things lie everywhere; the one that is needed cannot be found until the room is tidied."""
    w.scene(season="any", sky="any")
    w.hero("h")
    w.elder("e")
    w.pick("x", "thing", "needed")
    w.pick("y", "thing", "toy", "losable", "-tool")
    w.pick("z", "thing", "garment")
    w.put("spot", CORNERS)
    w.tell(
        "{h}的房间[乱极了|乱成一团]：地上有{y}，床上有{z}，到处都是{*thing:scraps}。",
        "{h}从来不收拾屋子，{y}和{z}堆得像小山一样。",
        "{*idiom:careless@h}，屋里到处是{y}和{z}。",
        "{when}{e}推开{h}的房门，差点被地上的{y}绊倒。",
        "{h}玩完{y}总是随手一扔，{at}屋里[连下脚的地方都没有|又堆满了东西]。",
        "{h}是个{*trait:good}的孩子，就是不爱收拾，{y}扔得满地都是。",
    )
    w.more(
        "<e.say 该收拾一下了。><h.answer 等一会儿再说吧。>",
        "{e}说了好几次，{h}总是[答应着|点点头]，就是不动手。",
    )
    w.tell(
        "{when}{h}要用{x}，却怎么也找不到。",
        "{when}{h}急着要用{x}，可是{x}不知道丢在哪里了。",
        "{when}{h}要用{x}，可是翻了[半天|好久]也没找到。",
        "<h.worry 我的{x}呢？谁看见我的{x}了？>",
    )
    w.tell(
        "{h}掀开{z}，挪开{y}，还是没有找到，{*mood:worried.very}。",
        "{h}[这里翻翻，那里找找|越找越急]，屋子更乱了。",
        "{*idiom:flurry@h}，东西扔得到处都是。",
        "{h}把抽屉翻了个遍，{x}还是没有出来。",
        "{h}急得[坐在地上哭了起来|满头大汗]，眼看就要来不及了。",
    )
    w.para()
    if w.flag("坏结局", 0.2):
        w.tell(
            "等{h}找到{x}，大家已经出发了，{h.ta}只好[留在家里|独自站在门口]。",
            "{h}一脚踩在了{x}上，{x}弄得脏脏的，不能用了。",
            "直到天黑，{x}也没有找到，{h}觉得{*mood:pity.very}。",
        )
        w.more("{h}望着满地的东西，[后悔得低下了头|第一次觉得这屋子真乱]。", "窗外传来伙伴们的笑声，{h}听了更难过了。")
        w.moral("tidy", probability=0.5)
        w.sum(
            "{h}不爱收拾房间，要用{x}的时候找不到，后悔极了。",
            "{h}的房间太乱，{x}找不到了，吃了大亏。",
        )
        return
    w.tell(
        "<e.say 先把房间收拾好，东西自己就会出来。>{h}只好动起手来。",
        "{e}没有[批评|责怪]{h}，陪{h}一样一样地收拾起来。",
        "{h}听了{e}的话，从门口开始，一样一样地收拾。",
        "{h}{*manner:tidy}地收拾起来，一样一样放好。",
        "{h}没有办法，只好{*manner:tidy}地收拾起来。",
    )
    w.some(
        "{h}把{y}放进[箱子|柜子|篮子]里，摆得{*manner:neat}，[又扫了地|还擦了桌子]。",
        "书放回书架，{z}放进柜子，{h}累得[出了一身汗|直喘气]。",
        "{h}一边哼着歌，一边{*activity:clean}，屋子[慢慢|一点一点]变干净了。",
    )
    w.tell(
        "收着收着，{x}[果然在{spot}|就在{spot}]露了出来！",
        "原来，{x}就[躺|藏]在{spot}。",
        "[收到最后|忽然]，{h}在{spot}看见了{x}。",
        "<h.glad 找到了，{x}在{spot}！>",
    )
    w.tell(
        "房间{*idiom:fresh}，{h}也{*mood:glad.very}。",
        "{h}拍拍手，看着干净的屋子，觉得{*mood:calm.very}。",
        "屋子[干净了|整整齐齐的]，{h}的心里也亮堂了。",
        "从此，{h}用完东西都放回原来的地方。",
        "{e}竖起大拇指，{h}[不好意思地笑了|笑得像朵花]。",
        "{h}看看整齐的房间，{*mood:glad.very}。",
        "{h}写了{*thing:notices.one}贴在墙上，提醒自己天天收拾。",
    )
    w.moral("tidy", probability=0.4)
    w.sum(
        "{h}的房间太乱，找不到{x}，收拾好房间以后，{x}在{spot}出现了。",
        "{h}不爱收拾，急着用{x}却找不到，后来在{e}的提醒下收拾房间，找到了它。",
    )


@plot("怕黑")
def dark(w: World) -> None:
    """A shadow in the night frightens; a light shows what it is."""
    w.scene(season="any", day="night", occasions="睡觉以前")
    w.hero("h")
    w.elder("e")
    w.pick("x", "thing", "hanging")
    w.pick("l", "thing", "nightlight")
    w.let("noise", "{*sound:eerie}")
    w.flag("转折")
    hint = w.flag("伏笔", 0.4)
    if hint:
        w.tell(
            "{when}{h}把{x.onea}搭在椅背上，就[上床睡觉|钻进了被窝]。",
            "睡觉以前，{h}随手把{x.onea}[挂在门后|搭在椅子上]。",
        )
    else:
        w.tell(
            "{h}有点{*trait:timid}，天一黑就不敢出门。",
            "{h}什么都不怕，就怕黑。",
            "{when}{h}躺在床上，怎么也睡不着。",
            "{when}灯一关，屋里[黑漆漆的|什么也看不见]，{h}用被子蒙住了头。",
            "{h}第一次一个人睡，{*mood:frightened.very}。"
            if not w.animals
            else "{h}第一次自己睡，{*mood:frightened.very}。",
        )
    w.tell(
        "半夜里，窗边传来{noise}的声音，墙上有一个[大大的|怪怪的]黑影。",
        "忽然，{h}看见墙角[站着|蹲着]一个黑影，还听见{noise}的声音。",
        "{noise}，{noise}！是什么在响？{h}看见一个黑影晃来晃去。",
        "月光下，一个[又高又瘦|又大又黑]的影子一动一动，好像要走过来。",
    )
    w.tell(
        "{*idiom:scared@h}。",
        "{h}吓得直{*action:shake}。",
        "{h}心里发毛，忍不住{*action:shake}。",
        "{h}吓得连大气也不敢出。",
        "<h.cry 有[妖怪|怪物]，快来呀！>",
        "{h}抱紧了{*thing:cuddle}，心{*sound:heart}地跳。",
    )
    w.more(
        "{h}数着自己的心跳，一下，两下，三下，[黑影还在那里|天却怎么也不亮]。",
        "风{*sound:wind}地吹过屋顶，{h}觉得时间过得特别慢。",
        "{h}想喊，可是嗓子像被什么堵住了一样。",
    )
    w.para()
    alone = w.chance(0.4)
    if alone:
        w.tell(
            "{h}深深吸了一口气，伸手点亮了{l}。",
            "{*idiom:courage@h}，[伸手|跳下床]点亮了{l}。",
            "不能总是害怕！{h}一下子点亮了{l}。",
        )
    else:
        w.tell(
            "{e}听见声音，拿着{l}走了进来。",
            "{e}点亮了{l}，[拉住|握住]{h}的手。",
            "<e.soft 别怕，我们一起去看看。>{l}一下子亮了。",
            "{e}推开门，{l}的光照亮了屋子。",
        )
    if hint:
        w.tell(
            "原来，黑影就是{h}睡前放在那里的{x}！",
            "{h}一看，[忍不住笑了|松了一口气]：那不是睡前放好的{x}吗？",
            "哪里有什么怪物，只有{h}自己放的{x}。",
        )
    else:
        w.tell(
            "原来，那只是挂在墙上的{x}。",
            "灯光下，黑影变成了{x.onea}，[响声|声音]是风吹出来的。",
            "原来是{*animal:pet,small,runs.one}在[玩|咬]{x.one}。"
            if not w.animals
            else "原来，那只是挂在墙上的{x.one}。",
            "哪里是什么怪物，分明是窗外的{*plant:tree,climbable.one}在摇。",
            "{h}走近一看，是{*animal:small,gentle,insect,flies.one}停在窗户上，影子变得好大好大。"
            if w.now.season != "winter"
            else "{h}走近一看，那不过是挂在窗边的{x.one}。",
        )
    w.more(
        "<e.soft 很多可怕的东西，看清楚了就不可怕。>" if not alone else "{h}拍拍胸口，觉得自己刚才真[傻|好笑]。",
        "{h}把{l}放在床边，屋里变得[暖暖的|又亮又暖]。",
    )
    w.tell(
        "{*idiom:relief@h}，[很快|不一会儿]就睡着了。",
        "从此，{h}再也不怕黑了。",
        "{h}{*mood:bashful.very}，自己也[笑了|觉得好笑]。",
        "{*idiom:asleep@h}。",
        "{*idiom:afterfright@h}，可还是笑了。",
        "{h}看着亮亮的{l}，觉得{*mood:calm.very}。",
        "{h}把{l}放在床边，{*manner:asleep}地睡着了。",
        "那一夜，{h}做了一个[甜甜的|长长的]梦，梦见自己在{*place:journey.in}{*action:romp}。",
    )
    w.moral("dark", probability=0.35)
    w.sum(
        "{h}夜里被黑影吓坏了，{l}一照，才发现只是一场虚惊。",
        "{h}夜里看见一个黑影，用{l}照清楚了，才知道没什么可怕的。",
    )


@plot("厨房里的错误")
def kitchen(w: World) -> None:
    """Cooking for the family, a mix-up of jars; it ends as laughter or an unlooked-for dish."""
    w.scene(season="any", sky="any", occasions="午睡 母亲节 儿童节 元旦")
    w.hero("h")
    w.elder("e")
    w.pick("x", "food", "cookable", "cake" if w.chance(0.5) else "bread")
    w.let(
        "wrong",
        "盐当成了糖",
        "醋当成了水",
        "辣椒粉当成了可可粉",
        "酱油当成了糖浆",
        "胡椒当成了芝麻",
    )
    w.tell(
        "{when}{h}想给{e}做{x.one}。",
        "{when}{e}出门了，{h}决定[自己|偷偷]做{x}。",
        "{e}[累了一天|病了]，{h}想做{x}给{e.ta}吃。",
        "{h}从没做过饭，{at}却说要做{x}。",
    )
    w.tell(
        "{h}[系上围裙|找来面粉]，拿出[大碗|勺子|盆子]，{*manner:work}地干了起来。",
        "{h}找出一个大碗，倒进面粉，[又加水，又搅拌|弄得满脸都是白粉]。",
        "{h}一边哼歌，一边搅面糊，[手酸了也不停|忙得可高兴了]。",
        "锅里{*sound:boil}地响，{h}忙得[团团转|满头大汗]。",
    )
    w.more(
        "{h}没有看清瓶子上的字，也没有问一问。",
        "面糊溅到了[桌子|凳子|炉台]上，地上也[湿了一片|白了一片]。",
        "{h}偷偷尝了一口生面糊，[皱起了眉头|觉得味道有点怪]，可又想：[烤熟就好了|也许就是这样]。",
    )
    w.tell(
        "可是{h}太着急，把{wrong}。",
        "{*idiom:backfire@h}，竟然把{wrong}。",
        "谁知道，{h}一不小心把{wrong}。",
        "{h}[手一滑|没看清]，把{wrong}，自己还不知道。",
    )
    w.para()
    w.tell(
        "{e}咬了一口，[眼睛瞪得圆圆的|脸都皱成了一团]。",
        "{x}[出锅了|端上了桌]，{e}尝了一口，[咳个不停|连忙喝水]。",
        "大家高高兴兴地坐下，一尝{x}，全都[愣住了|吐了出来]。",
        "{h}自己先尝了一口，[马上|立刻]吐了出来。",
    )
    w.tell(
        "{h}{*mood:embarrassed.very}，[眼泪都快出来了|头低得不能再低]。",
        "<h.sorry 对不起，我放错了。>",
        "{*idiom:shame@h}。",
        "{h}这才发现自己拿错了瓶子，{*mood:downcast.very}。",
    )
    twist = w.flag("转折", 0.35)
    if twist:
        w.tell(
            "没想到，{e}又吃了一口，说这{x}的味道很特别，[后来竟成了家里的名菜|邻居们都来学]。",
            "谁知{e}哈哈大笑，说自己小时候第一次做{x}，也放错了东西！",
            "可是{e}把{x}[切开|掰开]，加上{*food:fruit}，竟然变得好吃极了。",
        )
    else:
        w.tell(
            "<e.soft 没关系，我们再做一次。>",
            "{e}[摸摸|拍拍]{h}的头，教{h.ta}重新做了一次。",
            "{*idiom:mild@e}，陪{h}又做了一次。",
            "{e}笑着擦掉{h}脸上的面粉，陪{h.ta}又做了一锅。",
            "{e}说，{h}的心意比{x}还甜。",
        )
    if twist:
        w.more("从那以后，{h}每放一样东西，都先[闻一闻，看一看|问清楚]。")
        w.tell(
            "{h}{*mood:glad.very}，[笑出了声|一下子不难过了]。",
            "{*idiom:relief@h}，大家笑成一团。",
            "从此，{h}做事都要先看清楚。",
            "那天的厨房里，笑声飘出了好远。",
        )
    else:
        w.more(
            "这一回，{h}每放一样东西，都先[闻一闻，看一看|问清楚]。",
            "{h}在每个瓶子上都贴了纸条，写上了名字。",
        )
        w.tell(
            "这一次，{x}又香又软，大家都{*mood:glad.very}。",
            "这一次，{*idiom:relish@e}，直夸{h}能干。",
            "这一次，{x}做得好极了，{*idiom:learnt@h}。",
            "{*idiom:relief@h}，大家[笑成一团|吃得干干净净]。",
            "从此，{h}做事都要先看清楚。",
            "那天的厨房里，[笑声|香味]飘出了好远。",
        )
    w.moral("care", probability=0.35)
    w.sum(
        "{h}做{x}时把{wrong}，虽然出了错，最后大家还是很开心。",
        "{h}想给{e}做{x}，却放错了东西，{e}没有责怪{h}。",
    )


@plot("阁楼里的宝贝")
def attic(w: World) -> None:
    """Cleaning brings an old keepsake to light, and with it a story of long ago."""
    w.scene(season="any", sky="any", occasions="午睡")
    w.hero("h")
    w.elder("e")
    w.pick("x", "thing", "keepsake", "losable", "gift", "-sport")
    w.pick("y", "thing", "losable", "-paper", "toy")
    w.pick("z", "thing", "losable", "-paper", w.choice("clothes", "tool", "instrument", "container"))
    w.put("p", "阁楼 地下室 储藏室 仓库 车库 谷仓")
    w.tell(
        "{when}{h}帮{e}{*activity:clean}，在{p.in}发现了一个旧箱子。",
        "{when}{h}在{p.in}玩，看见角落里有一个旧箱子。",
        "{when}{h}和{e}一起打扫，{p.in}的东西可真多：有{*thing:furniture.one}，还有{*thing:container.one}。",
        "{when}{h}{*manner:sneak}地走进{p}，里面堆满了旧东西。",
        "下雨天不能出门，{h}就到{p.in}[寻宝|翻东西]去了。"
        if w.now.sky == "rainy"
        else "{when}{h}走进{p}，想找一样东西。",
    )
    w.tell(
        "打开箱子一看，里面有{y.one}、{z.one}，最下面压着{x.one}。",
        "{h}从箱子里拿出了一{x.m}{*adj:worn}的{x}。",
        "在{y}和{z}中间，{h}看见了{x.one}。",
        "在一堆{*adj:wrecked}的东西中间，{h}看见了{x.one}。",
        "{h}[咳了几声|打了个喷嚏]，灰尘散开，露出了{x.one}。",
    )
    w.more(
        "灰尘在光里飞来飞去，{*animal:insect,climbs.one}从墙角爬了过去。",
        "{y}已经[旧了|坏了]，{z}上也落满了灰，只有{x}[包得好好的|还是{*adj:whole}的]。",
        "{h}把{x}[擦了又擦|吹了又吹]，越看越喜欢。",
        "旁边那{z.m}{*adj:wrecked}的{z}，{h}看也没看一眼。",
    )
    w.para()
    w.tell(
        "<h.ask 这是谁的{x}呀？>",
        "{h}捧着{x}跑去问{e}。",
        "{e}看见{x}，[愣了一下|眼睛忽然亮了]。",
        "{h}以为是没用的旧东西，正要扔掉，{e}连忙接了过去。",
    )
    if w.flag("转折", 0.4):
        w.tell(
            "没想到，那是{e}[小时候|很久以前]丢失的{x}，找了几十年也没找到！",
            "谁知{x}的背面写着一行小字，原来是{h}的太爷爷留下的。"
            if not w.animals
            else "谁知{x}的背面画着一朵小花，正是{e}小时候画的。",
            "更奇怪的是，{x}下面还压着一张字条，上面写着：“送给找到它的孩子。”",
        )
    else:
        w.tell(
            "原来，那是{e}小时候[最好的朋友|老师]送的礼物。",
            "<e.soft 这是我像你这么大的时候得到的礼物。>",
            "{e}说，从前日子很苦，这{x.m}{x}是[攒了一年的钱|走了一天的路]才买到的。"
            if w.slot("x").has("sale", "-paper")
            else "{e}说，这{x.m}{x}跟了自己好多年，后来不知丢到哪里去了。",
            "{e}摸着{x}，讲起了从前的故事。",
        )
    w.some(
        "{*idiom:watch@h}。",
        "{*idiom:lively@e}，{h}也听得入了迷。",
        "{*idiom:nosy@h}，{e}笑着一样一样地讲。",
        "{h}听得[入了迷|眼睛一眨不眨]，好像也回到了那个时候。",
        "{e}讲着讲着，[眼睛湿了|笑出了声]。",
        "{h}[靠在|坐在]{e}身边，听了一个又一个故事。",
    )
    w.tell(
        "{e}把{x}[送给了|交给]{h}，{h}把它放在床头。",
        "{h}把{x}擦得[干干净净|亮亮的]，摆在了[书架|窗台]上。",
        "{h}这才知道，旧东西里也藏着故事。",
        "{h}{*mood:surprised.very}，原来{e}也有过小时候。",
        "从此，{h}每次看见{x}，都会想起这个故事。",
    )
    w.more(
        "晚上，{h}画了一幅画，画上有小时候的{e}和{x.that}。",
        "<h.say 我会好好爱护它的。>",
    )
    w.moral("cherish", probability=0.3)
    w.sum(
        "{h}在{p.in}发现了{x}，知道了它的来历。",
        "{h}找到一件旧东西，原来{x}里藏着一个故事。",
    )
