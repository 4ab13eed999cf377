"""Plots of the open air: trees, lost ways, huts, finds."""

from __future__ import annotations

from litgpt_zh.corpus.world.engine import World, plot
from litgpt_zh.corpus.world.groups import land_heroes

FORESTS = "森林 树林 竹林 松树林 丛林 桦树林 枫树林 大山 山谷 小树林 果林 密林 桃花林 梅林"
#: What the wind can carry off, and what only a throw can.
LIGHT, THROWN = "风筝 纸飞机 竹蜻蜓 滑翔机模型", "飞盘 羽毛球 皮球 弹力球 毽子 沙包"


@plot("挂在树上的东西")
def stuck_kite(w: World) -> None:
    """A toy flies up into a tree; several ways fail before one works."""
    w.scene(occasions="春游 秋游 儿童节")
    if w.animals:
        w.folk = [animal for animal in land_heroes(w.lexicon) if animal.has("-flies", "-climbs")]
    w.hero("h")
    w.friend("f")
    w.folk = ()
    light = w.chance(0.5)
    w.put("x", LIGHT if light else THROWN)
    w.put(
        "t",
        "苹果树 桃树 梨树 枣树 柿子树 柳树 杨树 松树 柏树 枫树 银杏树 梧桐树 榕树 槐树 核桃树 樟树 大橡树 老榕树 玉兰树 李子树 杉树 桑树 栗子树 桂花树 樱桃树 樱花树 海棠树 果树 橘子树 杏树 石榴树 山楂树",
    )
    w.place("p", "play")
    w.tell(
        "{when}{h}和{f}在{p.in}玩{x}。",
        "{when}{h}带着[新的|心爱的]{x}来到{p.in}，{f}也跟来了。",
        "{when}{p.in}真热闹，{h}和{f}玩着{x}，[又跑又笑|开心极了]。",
        "{h}最心爱的玩具就是{x}，{at}{h}和{f}把它带到了{p.in}。",
    )
    w.more(
        "{sky}，正是玩{x}的好天气。",
        "{x}是{h}最心爱的玩具，平时都舍不得玩。",
    )
    w.tell(
        "{*sound:gust}一阵风吹来，{x}[飞上了高高的{t}|挂在了高高的{t}上]。"
        if light
        else "{f}一使劲，{x}[飞上了高高的{t}|落在了高高的{t}上]。",
        "{h}用力太大，{x}[挂在|卡在]了{t}的树枝上。",
        "{*sound:dash}的一声，{x}飞到了{t}上，下不来了。",
        "没想到，{x}一下子钻进了{t}的叶子里。",
    )
    w.tell(
        "{h}跳起来够，够不着；{f}用石子扔，也没扔中。",
        "{h}使劲摇树，树叶落了一地，{x}就是不下来。",
        "{*idiom:think@h}，可是什么办法也没有用。",
        "{h&f.ta}{*manner:pull}地摇树干，{x}动也不动。",
        "{h&f.ta}找来一根竹竿，可惜太短了。",
        "{f}想爬上去，爬到一半又滑了下来。",
        "<h.worry 太高了，怎么办呢？>",
    )
    w.more(
        "{h&f.ta}绕着{t}走了一圈又一圈，谁也想不出好办法。",
        "{f}安慰{h}说，总会有办法的。",
        "树上的{*animal:bird,small,flies}歪着头，好像在笑{h&f.ta}。",
        "{h}{*mood:worried.very}，在树下走来走去。",
    )
    w.para()
    kind = w.choice("helper", "animal", "wind" if light else "helper", *(() if w.animals else ("together",)))
    if kind == "helper":
        w.adult("o", "neighbor") if not w.animals else w.elder("o")
        w.tell("{o}[路过|走来]，搬来了梯子。", "正好{o}[经过|来了]，伸手就把树枝拉了下来。")
        w.tell(
            "{x}终于拿下来了，{h&f.ta}连声道谢。",
            "<o.glad 给，小心别再挂上去了。>{h}接过{x}，高兴得忍不住{*action:laugh}。",
        )
        w.sum("{h}的{x}挂在了{t}上，{o}帮忙拿了下来。")
    elif kind == "together":
        w.tell(
            "{f}灵机一动，让{h}踩在自己的肩膀上。",
            "<f.glad 我有办法，你站到我肩膀上来！>",
            "{h}看看{f}，有了主意：一个当梯子，一个往上够。",
        )
        w.tell(
            "{h}伸长胳膊，一下子够着了{x}。",
            "{h&f.ta}一个在下，一个在上，终于把{x}拿了下来。",
        )
        w.sum("{h}的{x}挂在{t}上，{h}和{f}互相帮忙，一起把它拿了下来。")
    elif kind == "animal":
        w.pick("a", "animal", "climbs", "small", "gentle", "wild")
        w.tell(
            "这时，{a.one}爬上树去，轻轻一推，{x}掉了下来。",
            "就在这时，{a.one}爬到树枝上，把{x}推了下来。",
        )
        w.tell(
            "{h}拿出{*food:nut.few}，谢谢这个小帮手。",
            "{h&f.ta}一齐{*action:cheer}，夸{a}真能干。",
        )
        w.flag("转折")
        w.sum("{h}的{x}挂在{t}上，想了很多办法都不行，最后{a.one}帮了忙。")
    else:
        w.flag("转折")
        w.tell(
            "{h&f.ta}都灰心了，正要回家，又一阵风吹来，{x}自己落了下来！",
            "谁知就在{h&f.ta}转身的时候，风一吹，{x}轻轻地飘到了{h}脚边。",
        )
        w.tell(
            "<h.laugh 风把它拿走，又把它送回来了。>",
            "{h&f.ta}你看看我，我看看你，笑得直不起腰。",
            "{h}抱住{x}，{*mood:glad.very}。",
        )
        w.sum("{h}的{x}飞到{t}上，怎么也拿不下来，最后又被风吹了下来。")
    w.tell(
        "从此，{h}只在空地上玩{x}。",
        "{h&f.ta}找了一块没有树的地方，接着玩。",
        "那天，{h&f.ta}玩到太阳下山才回家。",
        "天快黑了，{*idiom:homeglad@h}。",
        "{h&f.ta}{*manner:home}地接着玩。",
        "那天，{h&f.ta}玩得{*mood:hearty.very}。",
        "{h}说，下次要离{t}远一点。",
    )
    w.more(
        "{h}把{x}擦得干干净净，检查了一遍又一遍。",
        "树上的鸟儿叫了几声，好像也在高兴。",
        "回家以后，{h}把这件事讲给大家听，大家都笑了。",
    )
    if kind in ("helper", "together"):
        w.moral("thankful" if kind == "helper" else "team", probability=0.4)


@plot("迷路")
def lost_way(w: World) -> None:
    """Led astray by something bright, the hero is lost; a sign, a sound or a friend leads home."""
    w.scene(day="afternoon", occasions="秋游 春游")
    if w.animals:
        w.folk = [animal for animal in land_heroes(w.lexicon) if animal.has("-flies")]
    w.hero("h")
    w.folk = ()
    w.elder("e")
    w.put("p", FORESTS)
    w.pick("a", "animal", "insect", "flies", "gentle")
    mark = w.flag("伏笔", 0.4)
    w.tell(
        "{when}{h}跟着{e}到{p.in}去，[看见|遇见]{a.one}，就追了过去。",
        "{when}{h}追着{a.one}，跑进了{p}深处。",
        "{when}{h}在{p.in}[采花|捡果子|摘蘑菇]，越走越远。",
        "{e}叮嘱{h}不要走远，可是{h}看见{a.one}，就把话忘了。",
    )
    if mark:
        w.tell(
            "一路上，{h}把[小石子|松果|小树枝|鹅卵石|红布条|干树叶]放在路边做记号。",
            "走几步，{h}就在树上系一根{*adj:bright}的布条。",
            "{h}口袋里的{*food:nut=m}从破洞里漏出来，一路掉了一地。",
        )
    w.tell(
        "{*idiom:stuck@h}。",
        "{*idiom:look@h}，哪儿也看不见回家的路。",
        "等{h}抬起头，四周都是一模一样的树，找不到路了。",
        "天渐渐黑了，{h}[才发现|知道]自己迷路了。",
        "{h}回头一看，身边谁也没有，{*mood:frightened.very}。",
        "<h.cry 这是哪儿呀？我要回家！>",
        "左边是树，右边也是树，{h}不知道该往哪儿走。",
    )
    w.tell(
        "{*idiom:scared@h}。",
        "{*idiom:eerie@h}。",
        "{*idiom:stray@h}，越走越害怕。",
        "{h}坐在{*plant:tree,climbable}下哭了起来。",
        "草丛里传来{*sound:eerie}的声音，{h}吓得直{*action:shake}。",
        "{h}又{*mood:tired}又{*mood:dread}，肚子也[饿了|叫了起来]。",
    )
    w.more(
        "{h}想起{e}的话：迷了路不要乱跑，要先想一想。",
        "天上出来了几颗星星，{h}抬头看着，心里[平静了一点|不那么怕了]。",
        "{h}往前走了几步，又退了回来，前面是一条深沟。",
    )
    w.para()
    if mark:
        w.tell(
            "忽然，{h}想起了路上留下的记号！",
            "{h}擦擦眼泪，忽然看见路边有自己留下的记号。",
            "{h}低头一看，地上正是自己来时留下的记号。",
        )
        w.tell(
            "{h}顺着记号[一步一步|慢慢]往回走，终于看见了家。",
            "{h}跟着一个又一个记号，走出了{p}。",
        )
    else:
        w.pick("b", "animal", "wild", "small", "gentle", "runs")
        w.tell(
            "这时，{b.one}跑了过来，好像在说：跟我来。",
            "远处传来{e}的喊声：“{h.call}，你在哪里？”",
            "远处忽然亮起了灯光，越来越近。",
            "{h}站在原地不动，大声喊着{e}。",
            "{h}听见水声，想起家就在河边，就朝着声音走去。",
            "{h}爬上一块大石头，看见远处有一点灯光。",
        )
        w.tell(
            "不一会儿，{e}提着{*thing:lamp}跑来，一把抱住了{h}。",
            "[终于|没走多远]，{h}看见{e}正着急地等着。",
            "{e}循着声音找来了，{h}扑进了{e}怀里。",
        )
    w.tell(
        "<h.sorry 我再也不乱跑了。>",
        "{*idiom:afterfright@h}，再也不敢乱跑了。",
        "{*idiom:safe@h}，{e}这才{*mood:relieved}了。",
        "{e}没有责怪{h}，[端来|递上]{*food:cooked,cookable.one}。",
        "{*idiom:relief@h}，紧紧拉住{e}的手。",
        "从此，{h}出门再也不离开大人了。" if not w.animals else "从此，{h}再也不到处乱跑了。",
        "{h}回到家，[喝着|捧着]{*food:drink,cookable.one}，觉得家里真暖和。",
    )
    w.moral("lost", probability=0.4)
    w.sum(
        "{h}在{p.in}迷了路，最后平安回到了{e}身边。",
        "{h}越走越远，在{p.in}迷了路，最后想办法回到了家。",
        "{h}贪玩迷了路，心里很害怕，最后平安回到了家。",
    )


@plot("搭小屋")
def hut(w: World) -> None:
    """A hut is built in haste and falls in the storm; built again with care, it stands."""
    w.hero("h")
    w.friend("f")
    w.place("p", "stroll")
    w.put("m", "稻草 树枝 纸箱 树叶 枯枝 芦苇 旧床单 干草 麦秆 树皮 藤条")
    w.put("n", "石头 木头 砖 竹子 木板 石板")
    hint = w.flag("伏笔", 0.4)
    w.tell(
        "{when}{h}和{f}在{p.in}搭小屋。",
        "{h}想有一个自己的小屋，{at}和{f}在{p.in}动起手来。",
        "{when}{h}对{f}说：“我们在{p.in}搭个小屋吧！”",
        "{h}和{f}各搭各的小屋，{h}搭在东边，{f}搭在西边。",
    )
    w.tell(
        "{h}[贪快|嫌麻烦]，用{m}随便一搭，就去{*activity:games}了。",
        "{h}用{m}搭，一会儿就搭好了；{f}用{n}，搭得很慢。",
        "<h.proud 用{m}最快，我一会儿就能搭好！>",
        "{h}只用{m}[歪歪斜斜|松松垮垮]地搭了一下，就算完工了。",
    )
    if hint:
        w.tell("{f}看看天，又看看地上搬家的蚂蚁，说要下雨了，{h}不信。", "{f}早就说过，这里的风大，屋子要搭牢一点。")
    w.more(
        "{f}{*manner:work}地搬着{n}，[手都磨红了|汗水湿透了背]。",
        "{h}躺在小屋里吃{*food:snack,-drink}，笑{f}太傻。",
        "{h}在门口挂上{*thing:light}，又插上{*plant:flower.one}，看上去倒也漂亮。",
    )
    w.tell(
        "夜里，忽然刮起大风，{h}的小屋{*sound:collapse}一声倒了。",
        "第二天下起大雨，{m}搭的小屋一下子就垮了。",
        "谁知一阵狂风，{h}的小屋被吹得无影无踪。",
        "没过几天，暴风雨来了，{h}的小屋塌了。",
    )
    w.para()
    w.tell(
        "{h}站在倒了的小屋前，{*mood:downcast.very}。",
        "{*idiom:fail@h}。",
        "<h.cry 我的小屋没有了！>",
        "{h}冻得直打哆嗦，后悔没有好好搭。",
    )
    w.tell(
        "{f}打开门说：“快进来，[到我这儿躲一躲|我这儿还有地方]。”",
        "{f}拉着{h}躲进了自己结实的小屋。",
        "{f}没有笑话{h}，说：“明天我们重新搭。”",
        "{f}{*manner:kind}地拉着{h}进了屋。",
        "{f}点起火，让{h}把身上烤干。",
    )
    w.some(
        "天晴了，{h&f.ta}用{n}一点一点重新搭。",
        "{*idiom:together@h}，这一次用的全是{n}。",
        "{h}搬{n}，{f}和泥，忙了整整三天。",
    )
    w.tell(
        "新的小屋又结实又好看，再大的风也吹不倒。",
        "从此，{h&f.ta}常常在小屋里[讲故事|画画|过家家|下棋]，再也不怕刮风下雨。",
        "后来又来过几次大风，小屋稳稳地站着。",
        "{h}摸着结实的墙，{*mood:glad.very}。",
    )
    w.moral("care", "team", probability=0.35)
    w.sum(
        "{h}用{m}随便搭了小屋，被风雨毁了，后来和{f}用{n}重新搭好。",
        "{h}贪快，小屋倒了，{f}帮助{h}搭了一个结实的小屋。",
    )


@plot("收集宝贝")
def collection(w: World) -> None:
    """A walk with a basket: small finds become a picture, a present or a show."""
    w.scene(occasions="春游 秋游")
    w.hero("h")
    w.friend("f")
    w.elder("e")
    w.pick("a", "plant", "gathered")
    w.pick("b", "nature", "found")
    w.pick("c", "plant", w.choice("flower", "tree", "grass"), "-part")
    w.pick("d", "nature", "view")
    if w.chance(0.7):
        w.place("p", w.choice("stroll", "woods"))
    else:
        w.put("p", "河边 湖边 海边 沙滩 溪边 河滩")
    w.put("x", "篮子 竹篮 布袋 书包 纸袋 玻璃瓶 水桶 纸盒 背包 菜篮 小筐 饼干盒 铁盒 竹筐")
    w.tell(
        "{when}{e}带{h}和{f}去{p.in}认识大自然。",
        "{when}{h}提着{x}，要去{p}[收集|寻找]宝贝。",
        "{when}{h}和{f}比赛，看谁在{p.in}找到的东西最美。",
        "<e.say 今天我们去{p}，每个人找三样最美的东西。>"
        if not w.animals
        else "<e.say 今天去{p}，大家各找三样最美的东西。>",
    )
    w.more(
        "地上软软的，踩上去沙沙响。",
        "{e}说，走慢一点，才看得清楚。",
        "空气里有一股好闻的味道。",
    )
    w.tell(
        "{h}找到了{b.one}，{f}看见了{a.one}。",
        "{h}一会儿看{a}，一会儿看{d}，眼睛都忙不过来了。",
        "路上有{a}，有{c}，远处还有{d.one}。",
        "{f}捡到{b.onea}，{h}也蹲下来找。",
        "{h}问{e}，这是不是{c}，{e}笑着点点头。",
    )
    w.more(
        "{h}回头一看，不远处有{*animal:bird,small,flies,-swims,-sea=q.one}，正{q.cry}地叫着。",
        "{f}抬起头，看见天上有{*nature:cloud.one}，像一只小羊。",
        "{h}想拔{*plant:grass,pot}，{e}说，它的家就在这里，看看就好。",
    )
    quarrel = w.flag("冲突", 0.3)
    if quarrel:
        w.tell("{h}和{f}同时看见了{b}，谁也不肯让，吵了起来。", "<h.angry 这{b.m}{b}是我的！><f.angry 是我先看见的！>")
    else:
        w.tell(
            "{h}找了半天，{x}里还是空空的，{*mood:impatient.very}。",
            "谁知{h}走得太急，{*action:fall}了，捡来的东西撒了一地。",
            "忽然刮起一阵风，把{h}的宝贝全吹跑了。",
            "{f}找到了很多，{h}却只有一样，{*mood:downcast.very}。",
        )
    w.para()
    w.tell(
        "{e}说：“不要只看大的，低下头，小的东西也很美。”",
        "{e}让{h}闭上眼睛，先听一听，再闻一闻。",
        "{f}把自己找到的{a}分给{h}，{h}笑了。",
        "{h}蹲下来仔细一看，原来脚边就有{a.one}。",
    )
    w.tell(
        "{h&f.ta}把{a}和{b}拼在一起，拼成了一幅画。",
        "{h}在地上摆了一个圆圈，把{b}放在中间。",
        "回到家，{h}把宝贝摆在[桌子|窗台|书架]上，请大家来看。",
        "{h&f.ta}给{a}和{b}写上名字，还画了{c}。",
    )
    w.flag("转折", 0.0)
    w.tell(
        "大家都来看，{h}{*mood:proud.very}。",
        "{h}说，最美的还有{d}，可惜带不回来。",
        "看着这么多好看的东西，{*idiom:delight@h}。",
        "从此，{h}走路都会看一看脚边。",
        "<h.glad 原来到处都是宝贝！>",
        "{f}和{h}约好，下个星期再去{p}。" if not w.animals else "{f}和{h}约好，过几天再去{p}。",
    )
    w.more(
        "回家的路上，{x}里装得满满的。",
        "晚上，{h}把最小的一样放在枕头边，睡着了还在笑。",
        "{e}说，大自然就是一本读不完的书。",
    )
    w.moral("curious", probability=0.3)
    w.sum(
        "{h}和{f}去{p}寻找美丽的东西，找到了{a}和{b}。",
        "{h}在{p.in}收集{b}和{a}，发现了身边的美。",
        "{h}和{f}去{p}收集宝贝，发现了身边的美。",
    )
